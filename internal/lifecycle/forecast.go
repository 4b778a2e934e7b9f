package lifecycle

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// expiringSoon is how long before its expiry a key counts as expiring soon; a key that lives shorter than twice as
	// long does so in the second half of its life.
	expiringSoon = 14 * 24 * time.Hour
	// usageRetry is how soon to check again whether all servers have reported.
	usageRetry = 10 * time.Second
	// stillUsed is the minimum age up to which a use counts as current: uses are reported periodically.
	stillUsed = 30 * time.Second
)

// Cutover is a version that is still used though its overlap is about to end.
type Cutover struct {
	ID      int64
	Preview string
	// Since is when its successor became available, Ends when it will be refused.
	Since, Ends time.Time
	Use
}

// forecast determines what is about to happen, and when the plan changes next.
func (p *planner) forecast() {
	active := p.active()
	p.wakeAt(p.claimDeadline())
	if len(p.out.Versions) == 0 {
		p.wakeAt(timeOf(p.in.Key.Spec.ExpiresAt))
	}
	for i := range p.out.Versions {
		v := &p.out.Versions[i]
		if !Live(v.State) {
			continue
		}
		p.wakeAt(timeOf(v.ExpiresAt))
		if v.State == v1alpha1.VersionRetiring {
			p.wakeAt(timeOf(v.RetiresAt))
			p.forecastCutover(v, active)
		}
	}
	if active == nil || Revoked(p.in.Key) {
		return
	}
	var closes time.Time
	p.out.RotatesAt, closes = p.rotation.Next(p.in.Key, active, p.now)
	if p.out.Obstacle == nil && p.out.Action != Mint {
		p.wakeAt(p.out.RotatesAt)
		p.wakeAt(closes)
	}
	end := p.in.Key.Spec.ExpiresAt
	renews := !p.out.RotatesAt.IsZero() && (end == nil || active.ExpiresAt != nil && active.ExpiresAt.Before(end))
	if active.ExpiresAt == nil || renews {
		return
	}
	lifetime := active.ExpiresAt.Sub(active.MintedAt.Time)
	soon := active.ExpiresAt.Add(-min(expiringSoon, lifetime/2))
	p.out.Expiring = !p.now.Before(soon)
	p.wakeAt(soon)
}

// RefusedAt is when a version is refused that has a successor: at the end of its overlap, or of its life, if that is earlier.
func RefusedAt(v *v1alpha1.KeyVersion) time.Time {
	if v.ExpiresAt != nil && (v.RetiresAt == nil || v.ExpiresAt.Before(v.RetiresAt)) {
		return v.ExpiresAt.Time
	}
	return timeOf(v.RetiresAt)
}

// LastQuarter is when the last quarter of the overlap of a version begins.
func LastQuarter(v *v1alpha1.KeyVersion) time.Time {
	ends := RefusedAt(v)
	return ends.Add(-ends.Sub(timeOf(v.ReplacedAt)) / 4)
}

// forecastCutover checks whether a version is still used in the last quarter of its overlap.
func (p *planner) forecastCutover(v, current *v1alpha1.KeyVersion) {
	if current == nil || v.ReplacedAt == nil {
		return
	}
	since, ends := v.ReplacedAt.Time, RefusedAt(v)
	quarter := ends.Sub(LastQuarter(v))
	p.wakeAt(ends.Add(-quarter))
	use := p.in.Usage.Of[v.Digest]
	switch {
	case p.now.Before(ends.Add(-quarter)):
	case use.Last.After(since) && p.now.Sub(use.Last) <= max(quarter, stillUsed):
		p.out.Cutover = &Cutover{ID: v.ID, Preview: v.Preview, Since: since, Ends: ends, Use: use}
		p.wakeAt(use.Last.Add(max(quarter, stillUsed) + 1))
	default:
		// There is no event for each use.
		p.wakeAt(p.now.Add(max(usageRetry, quarter/8)))
	}
	if unusedLongEnough := p.unusedLongEnoughAt(v, current); !unusedLongEnough.IsZero() {
		if p.now.Before(unusedLongEnough) {
			p.wakeAt(unusedLongEnough)
		} else {
			p.wakeAt(p.now.Add(usageRetry))
		}
	}
}

// wakeAt has the plan made again at an instant, if that is in the future.
func (p *planner) wakeAt(at time.Time) {
	if at.After(p.now) && (p.out.Wake.IsZero() || at.Before(p.out.Wake)) {
		p.out.Wake = at
	}
}
