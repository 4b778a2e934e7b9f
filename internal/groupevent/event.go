// Package groupevent defines the events in the log of a Group: their fields, their encoding, their catalogue, and the chain of
// hashes that they form.
//
// An event is encoded as a CloudEvent (1.0, JSON) whose data is an Entity Management event (class 3004) of OCSF with the profile
// record_integrity. The encoding is canonical JSON (RFC 8785): an event has exactly one, and Decode accepts no other, so that
// every byte of a log counts. No event has the text or digest of a key, a path or a query.
package groupevent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Type is the type of an event, such as dev.keyward.key.rotated.v1.
type Type string

const (
	typePrefix = "dev.keyward."
	typeSuffix = ".v1"
)

// Short returns the type without what all types have in common, such as key.rotated.
func (t Type) Short() string {
	return strings.TrimSuffix(strings.TrimPrefix(string(t), typePrefix), typeSuffix)
}

// TypeOf returns the type with this short or full name.
func TypeOf(name string) Type {
	if strings.HasPrefix(name, typePrefix) {
		return Type(name)
	}
	return Type(typePrefix + name + typeSuffix)
}

// Group is the Group whose log has an event. Its UID names the chain: a Group that is created again with the same name has
// another.
type Group struct {
	Namespace, Name, UID string
}

// Subject is the object that an event is about.
type Subject struct {
	Kind, Namespace, Name, UID string
}

// Actor is who caused an event. One without a user is Keyward itself, or is not known.
type Actor struct {
	// User is the name as the API server authenticated it, with the groups of the user.
	User   string
	Groups []string
	// Via is how: what the client says about itself.
	Via string
}

// Values of Actor.Via.
const (
	ViaKubectl    = "kubectl"
	ViaGitOps     = "gitops"
	ViaConsole    = "console"
	ViaHelm       = "helm"
	ViaAutomation = "automation" // another client of a ServiceAccount
	ViaOther      = "other"
	ViaKeyward    = "keyward" // a schedule, a limit, or another rule that Keyward carries out
	ViaUnknown    = "unknown"
)

// Event is an event in the log of a Group. All except Sequence, PrevID, PrevHash and Hash is fixed when it is made; Append sets
// those.
type Event struct {
	Group Group
	// Sequence is the position in the log, from 1.
	Sequence uint64
	// ID is the same whenever and however often a transition is seen. Receivers drop what they have by it.
	ID   string
	Type Type
	// Activity and Severity are activity_id and severity_id of OCSF.
	Activity, Severity int
	// Time is when it happened, in UTC and whole milliseconds.
	Time    time.Time
	Subject Subject
	Actor   Actor
	// Data has the fields of the type, as the catalogue lists them.
	Data json.RawMessage
	// PrevID and PrevHash are of the event before; empty in the first.
	PrevID, PrevHash string
	// Hash is the SHA-256, in hexadecimal, of the canonical OCSF event without its fingerprint.
	Hash string
}

// MaxSize is the size of an encoded event that New accepts.
const MaxSize = 16 << 10

// reserve is what Append adds at most.
const reserve = 512

// New returns an event of a type in the catalogue. data is what the catalogue lists for it.
func New(group Group, kind Type, id string, at time.Time, subject Subject, actor Actor, data any) (Event, error) {
	entry, ok := Find(kind)
	if !ok {
		return Event{}, fmt.Errorf("%s: no event has this type", kind)
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encoding the data of %s: %w", kind, err)
	}
	if encoded, err = canonical(encoded); err != nil {
		return Event{}, fmt.Errorf("encoding the data of %s: %w", kind, err)
	}
	event := Event{
		Group: group, ID: id, Type: kind, Activity: entry.Activity, Severity: entry.Severity,
		Time: at.UTC().Truncate(time.Millisecond), Subject: subject, Actor: actor, Data: encoded,
	}
	for _, text := range append([]string{
		group.Namespace, group.Name, group.UID, id, subject.Kind, subject.Namespace, subject.Name, subject.UID, actor.User, actor.Via,
	}, actor.Groups...) {
		if !utf8.ValidString(text) {
			return Event{}, errors.New("a field of the event is not UTF-8")
		}
	}
	if err := event.check(); err != nil {
		return Event{}, err
	}
	whole, err := event.encode()
	if err != nil {
		return Event{}, err
	}
	if len(whole) > MaxSize-reserve {
		return Event{}, fmt.Errorf("an event of %d bytes is too large; the largest has %d", len(whole), MaxSize-reserve)
	}
	return event, nil
}

// check reports what an event lacks.
func (e *Event) check() error {
	for _, field := range []struct{ name, value string }{
		{"group namespace", e.Group.Namespace}, {"group name", e.Group.Name}, {"group uid", e.Group.UID},
		{"id", e.ID}, {"type", string(e.Type)}, {"subject kind", e.Subject.Kind}, {"subject name", e.Subject.Name},
	} {
		if field.value == "" {
			return fmt.Errorf("the event has no %s", field.name)
		}
	}
	if e.Time.Year() < 1970 || e.Time.Year() > 9999 {
		return fmt.Errorf("the event has no valid time: %s", e.Time)
	}
	return nil
}
