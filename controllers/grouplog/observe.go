package grouplog

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/specchange"
)

// Kinds of subjects.
const (
	kindKey       = "ApiKey"
	kindGroup     = "Group"
	kindAllowlist = "DomainAllowlist"
	kindRequest   = "KeyRequest"
)

var (
	byKeyward = groupevent.Actor{Via: groupevent.ViaKeyward}
	byUnknown = groupevent.Actor{Via: groupevent.ViaUnknown}
)

// evidence collects the events that an object is evidence of. Their ids are made of the UID of the object and the transition, so
// that the same transition has the same id whenever, and by whichever leader, it is seen.
type evidence struct {
	group   groupevent.Group
	subject groupevent.Subject
	// contacts are those of the Group.
	contacts []v1alpha1.Contact
	events   []groupevent.Event
	err      error
}

func (e *evidence) add(kind groupevent.Type, transition string, at time.Time, by groupevent.Actor, data any) {
	e.addAbout(e.subject, kind, e.subject.UID+"/"+transition, at, by, data)
}

// addToGroup adds an event about the Group. Its id is made of the UID that is given: that of the object that is the evidence.
func (e *evidence) addToGroup(kind groupevent.Type, uid, transition string, at time.Time, data any) {
	subject := groupevent.Subject{Kind: kindGroup, Namespace: e.group.Namespace, Name: e.group.Name, UID: e.group.UID}
	e.addAbout(subject, kind, uid+"/"+transition, at, byKeyward, data)
}

func (e *evidence) addAbout(subject groupevent.Subject, kind groupevent.Type, id string, at time.Time, by groupevent.Actor, data any) {
	event, err := groupevent.New(e.group, kind, id, at, subject, by, data)
	if err == nil {
		event, err = event.WithContacts(e.contacts)
	}
	if err != nil {
		e.err = fmt.Errorf("recording %s of %s %s/%s: %w", kind.Short(), e.subject.Kind, e.subject.Namespace, e.subject.Name, err)
		return
	}
	e.events = append(e.events, event)
}

func evidenceOf(group *v1alpha1.Group, kind string, object client.Object) *evidence {
	return &evidence{group: identityOf(group), subject: subjectOf(kind, object), contacts: group.Spec.Contacts}
}

func identityOf(group *v1alpha1.Group) groupevent.Group {
	return groupevent.Group{Namespace: group.Namespace, Name: group.Name, UID: string(group.UID)}
}

func subjectOf(kind string, object client.Object) groupevent.Subject {
	return groupevent.Subject{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), UID: string(object.GetUID())}
}

func actorOf(change *specchange.Change) groupevent.Actor {
	return groupevent.Actor{User: change.User, Groups: change.Groups, Via: change.Via}
}

// creator returns who created an object.
func creator(object client.Object, changes []specchange.Change) groupevent.Actor {
	if len(changes) > 0 && changes[0].Generation == 1 && changes[0].Spec {
		return actorOf(&changes[0])
	}
	if user := object.GetAnnotations()[v1alpha1.AnnotationCreatedBy]; user != "" {
		return groupevent.Actor{User: user, Via: groupevent.ViaUnknown}
	}
	return byUnknown
}

func changesOf(change *specchange.Change) []groupevent.Change {
	changes := make([]groupevent.Change, 0, len(change.Fields))
	for _, f := range change.Fields {
		changes = append(changes, groupevent.Change{Field: f.Path, Before: f.Before, After: f.After})
	}
	return changes
}

// edits adds an event for each change of the spec, of the type that typeOf returns.
func (e *evidence) edits(changes []specchange.Change, typeOf func(*specchange.Change) groupevent.Type) {
	for i := range changes {
		change := &changes[i]
		if !change.Spec || change.Generation <= 1 {
			continue
		}
		e.add(typeOf(change), fmt.Sprintf("generation/%d", change.Generation), change.At, actorOf(change),
			groupevent.Edited{Generation: change.Generation, Changes: changesOf(change)})
	}
}

// created returns the fields that an object was created with, where they are known.
func created(changes []specchange.Change) groupevent.Created {
	if len(changes) > 0 && changes[0].Generation == 1 {
		return groupevent.Created{Changes: changesOf(&changes[0])}
	}
	return groupevent.Created{}
}

// ofGroup returns the events that a Group is evidence of.
func ofGroup(group *v1alpha1.Group) *evidence {
	e, changes := evidenceOf(group, kindGroup, group), specchange.Of(group.Annotations)
	e.add(groupevent.TypeGroupCreated, "created", group.CreationTimestamp.Time, creator(group, changes), created(changes))
	e.edits(changes, func(change *specchange.Change) groupevent.Type {
		if _, is := change.Field(specchange.FieldState); is {
			return groupevent.TypeGroupStateChanged
		}
		if _, is := change.Field(specchange.FieldTier); is {
			return groupevent.TypeGroupTierChanged
		}
		return groupevent.TypeGroupEdited
	})
	for _, condition := range group.Status.Conditions {
		limit := condition.Type == v1alpha1.ConditionQuotaLow || condition.Type == v1alpha1.ConditionQuotaExceeded
		if limit && condition.Status == metav1.ConditionTrue {
			at := condition.LastTransitionTime
			e.add(groupevent.TypeGroupLimitReached, fmt.Sprintf("%s/%d", condition.Type, at.Unix()), at.Time, byKeyward,
				groupevent.LimitReached{Limit: condition.Type, Reason: condition.Reason})
		}
	}
	e.rejected(group.Status.Enforcement, group.Status.Conditions)
	return e
}

// ofAllowlist returns the events that a DomainAllowlist of the Group is evidence of.
func ofAllowlist(group *v1alpha1.Group, list *v1alpha1.DomainAllowlist) *evidence {
	e, changes := evidenceOf(group, kindAllowlist, list), specchange.Of(list.Annotations)
	e.add(groupevent.TypeAllowlistCreated, "created", list.CreationTimestamp.Time, creator(list, changes), created(changes))
	e.edits(changes, func(*specchange.Change) groupevent.Type { return groupevent.TypeAllowlistEdited })
	return e
}

// ofKey returns the events that an ApiKey of the Group is evidence of.
func ofKey(group *v1alpha1.Group, key *v1alpha1.ApiKey) *evidence {
	e, changes := evidenceOf(group, kindKey, key), specchange.Of(key.Annotations)
	data := groupevent.KeyCreated{RestoredFrom: key.Annotations[v1alpha1.AnnotationRestored]}
	for _, name := range key.Spec.Projects {
		data.Projects = append(data.Projects, string(name))
	}
	for _, name := range key.Spec.Permissions {
		data.Permissions = append(data.Permissions, string(name))
	}
	if request := key.Annotations[v1alpha1.AnnotationRequest]; len(request) <= maxUID {
		data.Request = request
	}
	e.add(groupevent.TypeKeyCreated, "created", key.CreationTimestamp.Time, creator(key, changes), data)
	e.edits(changes, typeOfKeyEdit)
	for i := range key.Status.Versions {
		e.version(group, key, &key.Status.Versions[i], changes)
	}
	e.rotations(key, changes)
	e.rejected(key.Status.Enforcement, key.Status.Conditions)
	e.keyLimit(key)
	if leak := key.Status.Leak; leak != nil && leak.Response != "" {
		e.add(groupevent.TypeKeyLeaked, fmt.Sprintf("leak/%d/%d", leak.Version, leak.ReportedAt.Unix()), leak.ReportedAt.Time, byKeyward,
			groupevent.KeyLeaked{Version: leak.Version, Source: leak.Source, Response: string(leak.Response)})
	}
	if at := key.DeletionTimestamp; at != nil {
		e.deleted(at.Time, groupevent.TypeKeyDeleted, key.Annotations, string(key.Status.State))
	}
	return e
}

// deleted adds that the object was deleted, and by whom, if admission has stamped that on the object.
func (e *evidence) deleted(at time.Time, kind groupevent.Type, stamped map[string]string, state string) {
	by := byUnknown
	if stamp := specchange.Deletion(stamped); stamp != nil && at.Sub(stamp.At) < specchange.DeletionStampValid {
		by = actorOf(stamp)
	}
	e.add(kind, "deleted", at, by, groupevent.Deleted{State: state})
}

func typeOfKeyEdit(change *specchange.Change) groupevent.Type {
	if _, is := change.Field(specchange.FieldRevoked); is {
		return groupevent.TypeKeyRevoked
	}
	switch suspended, is := change.Field(specchange.FieldSuspended); {
	case is && suspended.After == "true":
		return groupevent.TypeKeySuspended
	case is:
		return groupevent.TypeKeyResumed
	}
	return groupevent.TypeKeyEdited
}

func (e *evidence) version(group *v1alpha1.Group, key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, changes []specchange.Change) {
	// A version that was dropped before its delivery leaves its number to another.
	name := fmt.Sprintf("version/%d/%d", v.ID, v.MintedAt.Unix())
	minted, kind := groupevent.KeyVersion{Version: v.ID, Preview: v.Preview, Cause: string(v.Cause)}, groupevent.TypeKeyMinted
	if v.ExpiresAt != nil {
		minted.ExpiresAt = v.ExpiresAt.UTC().Format(time.RFC3339)
	}
	if v.Cause == v1alpha1.CauseImported {
		kind = groupevent.TypeKeyImported
	}
	e.add(kind, name+"/minted", v.MintedAt.Time, byKeyward, minted)
	if at := v.DeliveredAt; at != nil {
		e.add(groupevent.TypeKeyDelivered, name+"/delivered", at.Time, byKeyward, groupevent.KeyVersion{Version: v.ID})
	}
	if at := v.ClaimedAt; at != nil && key.Spec.Secret.Reveal == v1alpha1.RevealOnce {
		e.add(groupevent.TypeKeyClaimed, name+"/claimed", at.Time, claimant(key, v, changes), groupevent.KeyVersion{Version: v.ID})
	}
	switch {
	case v.State == v1alpha1.VersionRetired && v.RetiresAt != nil:
		e.overlapEnded(group, key, v, name, changes)
	case v.State == v1alpha1.VersionRevoked && !lifecycle.Revoked(key):
		e.overlapDenied(key, v, name)
	case v.State == v1alpha1.VersionExpired && v.ExpiresAt != nil:
		e.add(groupevent.TypeKeyExpired, name+"/expired", v.ExpiresAt.Time, byKeyward, groupevent.KeyVersion{Version: v.ID})
	}
}

// claimant returns who claimed a version, if that was on the ApiKey.
func claimant(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, changes []specchange.Change) groupevent.Actor {
	claim := fmt.Sprintf("%s-%d", key.Status.KeyID, v.ID)
	return requester(changes, specchange.FieldClaim, claim, byUnknown)
}

// requester returns who set a field to a value last.
func requester(changes []specchange.Change, field, value string, otherwise groupevent.Actor) groupevent.Actor {
	for i := range slices.Backward(changes) {
		if set, is := changes[i].Field(field); is && set.After == value {
			return actorOf(&changes[i])
		}
	}
	return otherwise
}

// rotations adds an event for each version that has replaced another.
func (e *evidence) rotations(key *v1alpha1.ApiKey, changes []specchange.Change) {
	for i := range key.Status.Versions {
		replaced := &key.Status.Versions[i]
		next := successor(key, replaced)
		if replaced.ReplacedAt == nil || next == nil {
			continue
		}
		data := groupevent.KeyRotated{Version: next.ID, Replaced: replaced.ID, Cause: string(next.Cause)}
		if replaced.RetiresAt != nil {
			data.RetiresAt = replaced.RetiresAt.UTC().Format(time.RFC3339)
		}
		by := byKeyward
		switch next.Cause {
		case v1alpha1.CauseTriggered:
			by = requester(changes, specchange.FieldTrigger, next.Trigger, byUnknown)
		case v1alpha1.CauseRequested:
			by = requester(changes, specchange.FieldRequest, next.RotateRequest, byUnknown)
		default:
		}
		e.add(groupevent.TypeKeyRotated, fmt.Sprintf("version/%d/%d/rotated", replaced.ID, replaced.MintedAt.Unix()),
			replaced.ReplacedAt.Time, by, data)
	}
}

// successor returns the version that was available next after another; nil if there is none.
func successor(key *v1alpha1.ApiKey, of *v1alpha1.KeyVersion) *v1alpha1.KeyVersion {
	var next *v1alpha1.KeyVersion
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		if v.ID > of.ID && (v.DeliveredAt != nil || v.ClaimedAt != nil) && (next == nil || v.ID < next.ID) {
			next = v
		}
	}
	return next
}
