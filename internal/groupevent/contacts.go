package groupevent

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// NoticePattern matches the types of all notices.
const NoticePattern = typePrefix + "notice.*"

// contactEvents are the events of a contact that lists none: what somebody should look at.
var contactEvents = []v1alpha1.EventPattern{NoticePattern, v1alpha1.EventPattern(TypeKeyLeaked)}

// Contact is whom receivers are to notify of an event.
type Contact struct {
	Name  string `json:"name" doc:"is its name in the Group"`
	URL   string `json:"url,omitempty" doc:"is where it is notified"`
	Email string `json:"email,omitempty" doc:"is its address"`
}

// WithContacts returns the event with those contacts of its Group whose patterns match its type. An event that would be too large with
// them is returned as it is.
func (e Event) WithContacts(of []v1alpha1.Contact) (Event, error) {
	var contacts []Contact
	for i := range of {
		patterns := of[i].Events
		if len(patterns) == 0 {
			patterns = contactEvents
		}
		if slices.ContainsFunc(patterns, func(p v1alpha1.EventPattern) bool { return Matches(string(p), string(e.Type)) }) {
			contacts = append(contacts, Contact{of[i].Name, of[i].URL, of[i].Email})
		}
	}
	if len(contacts) == 0 {
		return e, nil
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(e.Data, &fields); err != nil {
		return Event{}, fmt.Errorf("adding the contacts to %s: %w", e.Type, err)
	}
	encoded, err := json.Marshal(contacts)
	if err == nil {
		fields["contacts"] = encoded
		encoded, err = json.Marshal(fields)
	}
	if err != nil {
		return Event{}, fmt.Errorf("adding the contacts to %s: %w", e.Type, err)
	}
	with := e
	if with.Data, err = canonical(encoded); err != nil {
		return Event{}, fmt.Errorf("adding the contacts to %s: %w", e.Type, err)
	}
	whole, err := with.encode()
	if err != nil {
		return Event{}, err
	}
	if len(whole) > MaxSize-reserve {
		return e, nil
	}
	return with, nil
}

// Matches reports whether a text has the form of a pattern, in which * is any run of characters. A * takes as little as possible, and
// only the last one is tried again, so that the time is bounded by the product of the lengths.
func Matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	rest, found := strings.CutPrefix(text, parts[0])
	if !found || len(parts) == 1 {
		return found && rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
