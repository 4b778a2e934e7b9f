package groupevent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

func TestWithContacts(t *testing.T) {
	newEvent := func(kind Type, data any) Event {
		event, err := New(Group{"tenants", "acme", "uid"}, kind, "id", time.Unix(1, 0), Subject{Kind: "Group", Name: "acme"}, Actor{}, data)
		if err != nil {
			t.Fatal(err)
		}
		return event
	}
	contacts := []v1alpha1.Contact{
		{Name: "hook", URL: "https://hooks.acme.example/keyward", Events: []v1alpha1.EventPattern{"dev.keyward.group.*", "*.quota-*"}},
		{Name: "ops", Email: "ops@acme.example"},
	}
	reached := QuotaReached{Period: "2026-11", Limit: "requestsPerMonth", Quota: 9007199254740991, Used: 8, Percent: 90}
	for _, c := range []struct {
		event Event
		want  string
	}{
		{newEvent(TypeQuotaReached, reached), `{"contacts":[{"name":"hook","url":"https://hooks.acme.example/keyward"},{"email":"ops@acme.example","name":"ops"}],` +
			`"limit":"requestsPerMonth","percent":90,"period":"2026-11","quota":9007199254740991,"used":8}`},
		{newEvent(TypeGroupDeleted, Deleted{}), `{"contacts":[{"name":"hook","url":"https://hooks.acme.example/keyward"}]}`},
		{newEvent(TypeKeyLeaked, KeyLeaked{Version: 1}), `{"contacts":[{"email":"ops@acme.example","name":"ops"}],"version":1}`},
		{newEvent(TypeKeyRotated, KeyRotated{}), `{"replaced":0,"version":0}`},
	} {
		with, err := c.event.WithContacts(contacts)
		if err != nil || string(with.Data) != c.want {
			t.Errorf("%s has %s: %v", c.event.Type, with.Data, err)
		}
		// It is an event as any other.
		whole, err := Append(Head{}, with)
		if err != nil {
			t.Fatal(err)
		}
		line, err := whole.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := Decode(line); err != nil || string(read.Data) != c.want {
			t.Errorf("read back: %s: %v", read.Data, err)
		}
	}
}

// TestContactsMakeNoEventTooLarge: an event that has no room for them is more important than they are.
func TestContactsMakeNoEventTooLarge(t *testing.T) {
	var contacts []v1alpha1.Contact
	for i := range 16 {
		contacts = append(contacts, v1alpha1.Contact{
			Name: fmt.Sprintf("%s%02d", strings.Repeat("n", 61), i), URL: "https://" + strings.Repeat("u", 248), Events: []v1alpha1.EventPattern{"*"},
		})
	}
	for size, want := range map[int]bool{0: true, 4 << 10: true, 12 << 10: false} {
		event, err := New(Group{"tenants", "acme", "uid"}, TypeGroupEdited, "id", time.Unix(1, 0), Subject{Kind: "Group", Name: "acme"}, Actor{},
			Edited{Changes: []Change{{After: strings.Repeat("x", size)}}})
		if err != nil {
			t.Fatal(err)
		}
		with, err := event.WithContacts(contacts)
		if err != nil || strings.Contains(string(with.Data), "contacts") != want {
			t.Errorf("with %d bytes: %d bytes of data, %v", size, len(with.Data), err)
		}
		if whole, err := with.encode(); err != nil || len(whole) > MaxSize-reserve {
			t.Errorf("with %d bytes: %d bytes, %v", size, len(whole), err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{NoticePattern, true},
		{"*", true},
		{"dev.keyward.notice.key-expiring.v1", true},
		{"dev.keyward.*.v1", true},
		{"*notice*expiring*", true},
		{"notice.*", false},
		{"dev.keyward.notice", false},
		{"dev.keyward.key.*", false},
		{"", false},
	} {
		if got := Matches(c.pattern, string(TypeKeyExpiring)); got != c.want {
			t.Errorf("%q: %v", c.pattern, got)
		}
	}
}
