package lifecycle

import (
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// retireEarlier replaces the earlier versions with the one that was delivered last. A version whose text was lost with its
// Secret is revoked at once, because the user who removed it may have had a reason. So is a version that nobody had
// claimed, because nobody has it. The others stay accepted for the overlap.
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

// replace begins the overlap of a version with its successor, which became available at an instant.
func (p *planner) replace(v, successor *v1alpha1.KeyVersion, at time.Time) {
	v.State, v.ReplacedAt = v1alpha1.VersionRetiring, seconds(at)
	v.RetiresAt = seconds(p.overlapEnd(v))
	p.note(false, v1alpha1.ReasonRotated, "version %d (%s) replaces version %d (%s), which is accepted until %s",
		successor.ID, successor.Preview, v.ID, v.Preview, v.RetiresAt.UTC().Format(time.RFC3339))
}

// retire applies an edit of the overlap, and ends the overlap: when its time has passed, or early when the version is no
// longer used and the current one is.
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
	if Passed(v.RetiresAt, p.now) {
		p.end(v, v1alpha1.VersionRetired)
	}
}

// abandonReplacement drops a version that was to replace one whose text was lost, if the text is back.
func (p *planner) abandonReplacement(current *v1alpha1.KeyVersion) {
	if !p.carries(current) {
		return
	}
	p.out.Versions = slices.DeleteFunc(p.out.Versions, func(v v1alpha1.KeyVersion) bool {
		return v.State == v1alpha1.VersionPending && v.Cause == v1alpha1.CauseReplaced
	})
}

// usableSince is when the version became available to its consumer; zero if it is not yet.
func (p *planner) usableSince(v *v1alpha1.KeyVersion) time.Time {
	if p.revealedOnce() {
		return timeOf(v.ClaimedAt)
	}
	return timeOf(v.DeliveredAt)
}

// unusedLongEnough reports whether the overlap ends early.
func (p *planner) unusedLongEnough(v, current *v1alpha1.KeyVersion) bool {
	at := p.unusedLongEnoughAt(v, current)
	return !at.IsZero() && !p.in.Usage.Through.Before(at)
}

// unusedLongEnoughAt is when the version will have been unused for long enough, if it is not used again; zero if early
// retirement is not declared, or the current version was not used yet.
func (p *planner) unusedLongEnoughAt(v, current *v1alpha1.KeyVersion) time.Time {
	if p.rotation.UnusedFor == 0 || p.rotationProblem != nil || v.ReplacedAt == nil {
		return time.Time{}
	}
	since := v.ReplacedAt.Time
	if !p.in.Usage.Of[current.Digest].Last.After(since) {
		return time.Time{}
	}
	// Uses before the manager received reports are not known.
	for _, at := range []time.Time{p.in.Usage.Since, p.in.Usage.Of[v.Digest].Last, timeOf(v.LastUsedAt)} {
		if at.After(since) {
			since = at
		}
	}
	return since.Add(p.rotation.UnusedFor)
}
