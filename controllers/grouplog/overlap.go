package grouplog

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/specchange"
)

// overlapEnded adds that the overlap of a version has ended, and how.
func (e *evidence) overlapEnded(group *v1alpha1.Group, key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, name string, changes []specchange.Change) {
	data, by := groupevent.KeyOverlapEnded{Version: v.ID, How: groupevent.OverlapOnTime}, byKeyward
	if v.ReplacedAt != nil {
		data.Lasted = v.RetiresAt.Sub(v.ReplacedAt.Time).String()
		if forced := forcedBy(key, v, changes); forced != nil {
			data.How, by = groupevent.OverlapForced, *forced
		} else if v.RetiresAt.Time.Before(lifecycle.OverlapEnds(key, group, v)) {
			data.How = groupevent.OverlapEarly
		}
	}
	e.add(groupevent.TypeKeyOverlapEnded, name+"/retired", v.RetiresAt.Time, by, data)
}

// forcedBy returns who ended the overlap of a version before its time: by a shorter rotation.overlap, or by a request to rotate with a
// shorter one; nil if nobody did.
func forcedBy(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, changes []specchange.Change) *groupevent.Actor {
	for i := range changes {
		change := &changes[i]
		field, is := change.Field(specchange.FieldOverlap)
		// The new end is counted from the beginning of the overlap, so that it may be before the change.
		if is && change.At.After(v.ReplacedAt.Time) && shorter(field.After, field.Before) && !v.RetiresAt.After(change.At.Add(2*time.Second)) {
			by := actorOf(change)
			return &by
		}
	}
	declared, err := grant.ParseDuration(grant.DeclaredOverlap(key))
	if err != nil {
		return nil
	}
	for i := range key.Status.Versions {
		w := &key.Status.Versions[i]
		requested := grant.RequestedOverlap(w.RotateRequest)
		if w.ID <= v.ID || requested == nil || *requested >= declared || v.RetiresAt.Sub(v.ReplacedAt.Time) >= declared {
			continue
		}
		usable := w.DeliveredAt
		if key.Spec.Secret.Reveal == v1alpha1.RevealOnce {
			usable = w.ClaimedAt
		}
		if usable != nil && !v.RetiresAt.Time.Before(usable.Time) && !v.RetiresAt.After(usable.Add(*requested+2*time.Second)) {
			by := requester(changes, specchange.FieldRequest, w.RotateRequest, byUnknown)
			return &by
		}
	}
	return nil
}

// shorter reports whether an overlap is shorter than another; one that is not set is the default.
func shorter(overlap, than string) bool {
	lengths := [2]time.Duration{}
	for i, text := range []string{overlap, than} {
		if text == "" {
			text = grant.DefaultOverlap
		}
		var err error
		if lengths[i], err = grant.ParseDuration(v1alpha1.Duration(text)); err != nil {
			return false
		}
	}
	return lengths[0] < lengths[1]
}

// overlapDenied adds that a version ended without an overlap, because its text was lost with its Secret.
func (e *evidence) overlapDenied(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, name string) {
	next := successor(key, v)
	if next == nil || next.Cause != v1alpha1.CauseReplaced || next.DeliveredAt == nil {
		return
	}
	e.add(groupevent.TypeKeyOverlapEnded, name+"/retired", next.DeliveredAt.Time, byKeyward,
		groupevent.KeyOverlapEnded{Version: v.ID, Lasted: time.Duration(0).String(), How: groupevent.OverlapForced})
}
