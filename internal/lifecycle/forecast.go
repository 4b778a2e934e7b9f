package lifecycle

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// expiringSoon is how long before its end a key is said to end soon; of a key that lives
	// shorter than twice of it, the second half.
	expiringSoon = 14 * 24 * time.Hour
	// usageRetry is how soon to look again whether all servers have reported.
	usageRetry = 10 * time.Second
	// stillUsed is how old a use may be, at least, for a version to be still used: uses are
	// reported now and then.
	stillUsed = 30 * time.Second
)

// Cutover is a version that is still used though its overlap is about to end.
type Cutover struct {
	ID      int64
	Preview string
	// Since is when its successor was there to be used, Ends when it will be refused.
	Since, Ends time.Time
	Use
}

// foresee says what is to come, and when the plan will be another one.
func (p *planner) forecast() {
	active := p.active()
	p.wakeAt(p.claimDeadline())
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
	p.out.RotatesAt = p.rotation.RotatesAt(p.in.Key, active)
	if p.out.Obstacle == nil && p.out.Action != Mint {
		p.wakeAt(p.out.RotatesAt)
	}
	if active.ExpiresAt == nil || !p.out.RotatesAt.IsZero() && p.in.Key.Spec.ExpiresAt == nil {
		return
	}
	lifetime := active.ExpiresAt.Sub(active.MintedAt.Time)
	soon := active.ExpiresAt.Add(-min(expiringSoon, lifetime/2))
	p.out.Expiring = !p.now.Before(soon)
	p.wakeAt(soon)
}

// foreseeCutover looks at the last quarter of an overlap.
func (p *planner) forecastCutover(v, current *v1alpha1.KeyVersion) {
	if current == nil || v.ReplacedAt == nil {
		return
	}
	since, ends := v.ReplacedAt.Time, v.RetiresAt.Time
	if v.ExpiresAt != nil && v.ExpiresAt.Before(v.RetiresAt) {
		ends = v.ExpiresAt.Time
	}
	quarter := ends.Sub(since) / 4
	p.wakeAt(ends.Add(-quarter))
	use := p.in.Usage.Of[v.Digest]
	switch {
	case p.now.Before(ends.Add(-quarter)):
	case use.Last.After(since) && p.now.Sub(use.Last) <= max(quarter, stillUsed):
		p.out.Cutover = &Cutover{ID: v.ID, Preview: v.Preview, Since: since, Ends: ends, Use: use}
		p.wakeAt(use.Last.Add(max(quarter, stillUsed) + 1))
	default:
		// A use is not announced each time.
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

// wakeAt lets the plan be looked at again at an instant that is still to come.
func (p *planner) wakeAt(at time.Time) {
	if at.After(p.now) && (p.out.Wake.IsZero() || at.Before(p.out.Wake)) {
		p.out.Wake = at
	}
}
