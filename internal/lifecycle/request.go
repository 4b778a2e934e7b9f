package lifecycle

import (
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// unhandledRequest returns the request to rotate that a new version handles; empty if there is none. A version that was
// dropped before its delivery has handled nothing.
func unhandledRequest(key *v1alpha1.ApiKey, versions []v1alpha1.KeyVersion) string {
	request := grant.RotateRequest(key)
	if request == "" || handledRequest(&key.Status, request) ||
		slices.ContainsFunc(versions, func(v v1alpha1.KeyVersion) bool { return v.RotateRequest == request }) {
		return ""
	}
	return request
}

// triggered reports whether rotation.trigger has a value that no version had, as far as is remembered. An earlier value that
// comes back does not rotate again: a tool that reverts a change by hand, or a revert in Git, asks for nothing new.
func (p *planner) triggered() bool {
	trigger := p.in.Key.Spec.Rotation.Trigger
	return trigger != "" && !remembers(p.in.Key.Status.HandledRotations, hashOf(handledTriggerKind, trigger)) &&
		!slices.ContainsFunc(p.out.Versions, func(v v1alpha1.KeyVersion) bool { return v.Trigger == trigger })
}

// overlapOf returns the overlap of the versions that the next version replaces.
func (p *planner) overlapOf(cause v1alpha1.VersionCause) time.Duration {
	if cause == v1alpha1.CauseRequested {
		if requested := grant.RequestedOverlap(grant.RotateRequest(p.in.Key)); requested != nil {
			return *requested
		}
	}
	return p.rotation.Overlap
}

// requestedOverlap returns the overlap that a version was requested with, or nil. It is no longer than the schedule leaves
// room for, as a declared one, and no longer than an overlap that was declared since and is shorter than the one
// before: whoever declares that ends the overlaps that are running.
func (p *planner) requestedOverlap(v *v1alpha1.KeyVersion) *time.Duration {
	requested := grant.RequestedOverlap(v.RotateRequest)
	if requested == nil {
		return nil
	}
	overlap := *requested
	if p.rotation.Every > 0 {
		overlap = min(overlap, p.rotation.Every)
	}
	if before, err := grant.ParseDuration(v.DeclaredOverlap); err == nil && p.rotation.Overlap < before {
		overlap = min(overlap, p.rotation.Overlap)
	}
	return &overlap
}

// overlapEnd returns when a replaced version retires: after the declared overlap, or that which its successor was requested
// with. An overlap that a later version was requested with ends it earlier, too.
func (p *planner) overlapEnd(v *v1alpha1.KeyVersion) time.Time {
	end := after(v.ReplacedAt.Time, p.rotation.Overlap)
	successor := true
	for i := range p.out.Versions {
		w := &p.out.Versions[i]
		since := p.usableSince(w)
		if w.ID <= v.ID || since.IsZero() {
			continue
		}
		if requested := p.requestedOverlap(w); requested != nil {
			if at := after(since, *requested); successor || at.Before(end) {
				end = at
			}
		}
		successor = false
	}
	return end
}

// after returns the end of an overlap. Instants of API objects are truncated to seconds; an overlap is never shorter than
// declared.
func after(at time.Time, overlap time.Duration) time.Time {
	if overlap == 0 {
		return at
	}
	return at.Add(overlap + time.Second)
}
