package lifecycle

import (
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// succeed lets the version that was delivered last take the place of the earlier ones. One
// whose text was lost with its Secret is revoked at once, for whoever removed it may have
// had a reason, and so is one that nobody had claimed, for nobody has it; the others stay
// for the overlap.
func (p *planner) retireEarlier() {
	current := p.active()
	if current == nil {
		return
	}
	for i := range p.out.Versions {
		v := &p.out.Versions[i]
		if v.State != v1alpha1.VersionActive || v.ID == current.ID {
			continue
		}
		switch at := p.usableSince(current); {
		case p.revealedOnce() && v.ClaimedAt == nil, !at.IsZero() && current.Cause == v1alpha1.CauseReplaced:
			p.end(v, v1alpha1.VersionRevoked)
		case !at.IsZero():
			p.replace(v, current, at)
		}
	}
	for i := range p.out.Versions {
		if v := &p.out.Versions[i]; v.State == v1alpha1.VersionRetiring {
			p.retire(v, current)
		}
	}
	p.abandonReplacement(current)
}

// replace begins the overlap of a version with its successor, which was there to be used at
// an instant.
func (p *planner) replace(v, successor *v1alpha1.KeyVersion, at time.Time) {
	v.State, v.ReplacedAt = v1alpha1.VersionRetiring, seconds(at)
	v.RetiresAt = seconds(p.overlapEnd(v))
	p.note(false, v1alpha1.ReasonRotated, "version %d (%s) takes the place of version %d (%s), which is accepted until %s",
		successor.ID, successor.Preview, v.ID, v.Preview, v.RetiresAt.UTC().Format(time.RFC3339))
}

// retire follows an edit of the overlap, and ends it when it is over, or early when the
// version is no longer used and the current one is.
func (p *planner) retire(v, current *v1alpha1.KeyVersion) {
	if v.ReplacedAt != nil && p.rotationProblem == nil {
		v.RetiresAt = seconds(p.overlapEnd(v))
	}
	if p.unusedLongEnough(v, current) {
		v.RetiresAt = seconds(p.now)
		p.note(false, v1alpha1.ReasonRetired, "version %d (%s) was not used for %s, and version %d is: its overlap ends early",
			v.ID, v.Preview, p.in.Key.Spec.Rotation.RetireWhenUnusedFor, current.ID)
		v.State = v1alpha1.VersionRetired
		return
	}
	if ended(v.RetiresAt, p.now) {
		p.end(v, v1alpha1.VersionRetired)
	}
}

// giveUp drops a version that was to replace one whose text was lost, where the text is back.
func (p *planner) abandonReplacement(current *v1alpha1.KeyVersion) {
	if !p.carries(current) {
		return
	}
	p.out.Versions = slices.DeleteFunc(p.out.Versions, func(v v1alpha1.KeyVersion) bool {
		return v.State == v1alpha1.VersionPending && v.Cause == v1alpha1.CauseReplaced
	})
}

// takenOver is when a consumer could use the version; zero while nobody can.
func (p *planner) usableSince(v *v1alpha1.KeyVersion) time.Time {
	if p.revealedOnce() {
		return timeOf(v.ClaimedAt)
	}
	return timeOf(v.DeliveredAt)
}

// overlapEnd is when a version that was replaced retires. Instants of API objects are cut to
// the second; an overlap is never shorter than declared.
func (p *planner) overlapEnd(v *v1alpha1.KeyVersion) time.Time {
	if p.rotation.Overlap == 0 {
		return v.ReplacedAt.Time
	}
	return v.ReplacedAt.Add(p.rotation.Overlap + time.Second)
}

// quiet is whether the overlap ends early.
func (p *planner) unusedLongEnough(v, current *v1alpha1.KeyVersion) bool {
	at := p.unusedLongEnoughAt(v, current)
	return !at.IsZero() && !p.in.Usage.Through.Before(at)
}

// quietAt is when the version will not have been used for long enough, as things are; zero
// where that does not matter, or the current version was not used yet.
func (p *planner) unusedLongEnoughAt(v, current *v1alpha1.KeyVersion) time.Time {
	if p.rotation.UnusedFor == 0 || p.rotationProblem != nil || v.ReplacedAt == nil {
		return time.Time{}
	}
	since := v.ReplacedAt.Time
	if !p.in.Usage.Of[current.Digest].Last.After(since) {
		return time.Time{}
	}
	// What happened before anybody watched is not known.
	for _, at := range []time.Time{p.in.Usage.Since, p.in.Usage.Of[v.Digest].Last, timeOf(v.LastUsedAt)} {
		if at.After(since) {
			since = at
		}
	}
	return since.Add(p.rotation.UnusedFor)
}
