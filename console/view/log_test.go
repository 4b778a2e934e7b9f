package view

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/role"
)

func event(kind groupevent.Type, user, via, subject, data string) groupevent.Event {
	entry, _ := groupevent.Find(kind)
	return groupevent.Event{
		Type: kind, Activity: entry.Activity, Severity: entry.Severity, Time: now, Actor: groupevent.Actor{User: user, Via: via},
		Subject: groupevent.Subject{Kind: entry.Kind, Namespace: "acme", Name: subject, UID: "of-" + subject}, Data: json.RawMessage(data),
	}
}

func TestLog(t *testing.T) {
	events := []groupevent.Event{
		event(groupevent.TypeKeyDeleted, "ada", "console", "old", `{"state":"Active"}`),
		event(groupevent.TypeKeyRotated, "", "keyward", "web", `{"cause":"Scheduled","version":2}`),
		event(groupevent.TypeKeyRevoked, "ada", "console", "old", `{}`),
		event(groupevent.TypeKeySuspended, "ben", "kubectl", "web", `{}`),
		event(groupevent.TypeAllowlistEdited, "", "unknown", "shop", `{"changes":[{"after":"b","field":"spec.domains"}]}`),
		event(groupevent.TypeGroupServerAbsent, "", "keyward", "acme", `{}`),
		event(groupevent.TypeCutoverPending, "", "keyward", "web", `{}`),
	}
	key, list := page.Link{Text: "web", Href: "/groups/acme/acme/keys/acme/web"}, page.Link{Text: "shop", Href: "/groups/acme/acme/allowlists/acme/shop"}
	want := []page.Entry{
		{At: now, What: "Key deleted", Tone: page.Bad, Object: page.Link{Text: "old"}, Actor: "ada", Detail: "state=Active"},
		{At: now, What: "Key rotated", Tone: page.Good, Object: key, Detail: "cause=Scheduled\nversion=2", Impersonal: true},
		{At: now, What: "Key revoked", Tone: page.Bad, Object: page.Link{Text: "old"}, Actor: "ada"},
		{At: now, What: "Key suspended", Tone: page.Bad, Object: key, Actor: "ben"},
		{At: now, What: "Allowlist edited", Tone: page.Good, Object: list, Actor: "unknown", Detail: "domains: +b"},
		{At: now, What: "Group server absent", Tone: page.Off, Object: page.Link{Text: "acme", Href: "/groups/acme/acme"}, Impersonal: true},
		{At: now, What: "Notice cutover pending", Tone: page.Bad, Object: key, Impersonal: true},
	}
	log := sight(role.Viewer).Log(events, &EnteredLog{}, 811)
	if d := gocmp.Diff(want, log.Entries); d != "" {
		t.Error(d)
	}
	if log.Action != "/groups/acme/acme/log" || log.Clear != "" || log.Next != "/groups/acme/acme/log?before=811" || !log.Types.Of[0].Chosen {
		t.Errorf("%+v", log)
	}
	if choices := log.Types.Of; len(choices) != 5+len(groupevent.Catalogue()) || choices[5] != (page.Choice{Value: "key.created", Text: "Key created"}) {
		t.Errorf("types: %+v", choices)
	}
}

func TestLogFiltered(t *testing.T) {
	entered := &EnteredLog{Types: []string{"key"}, Object: " web ", Actor: "a&b", From: "2026-11-01", Through: "yesterday", Before: "12"}
	log := sight(role.Viewer).Log(nil, entered, 3)
	if log.Clear != "/groups/acme/acme/log" || log.Next != "/groups/acme/acme/log?actor=a%26b&before=3&from=2026-11-01&object=web&through=yesterday&type=key" ||
		log.Through.Error == "" || log.From.Error != "" || !log.Types.Of[1].Chosen || log.Types.Of[0].Chosen {
		t.Errorf("%+v", log)
	}
	filter, before, problems := LogFilter(entered)
	want := groupevent.Filter{Types: []string{"key"}, Object: "web", Actor: "a&b", From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	if d := gocmp.Diff(want, filter); d != "" || before != 12 || len(problems) != 1 {
		t.Errorf("%d %v\n%s", before, problems, d)
	}
	filter, before, _ = LogFilter(&EnteredLog{Through: "2026-11-27", Before: "-1"})
	if !filter.Before.Equal(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)) || before != 0 {
		t.Errorf("through the 27th: %s, %d", filter.Before, before)
	}
}

// TestLogIsBounded: what is entered is in links, and those are not longer than browsers send.
func TestLogIsBounded(t *testing.T) {
	long, types := strings.Repeat("é", 100_000), make([]string, 10_000)
	for i := range types {
		types[i] = long[:100]
	}
	log := sight(role.Viewer).Log(nil, &EnteredLog{Types: types, Object: long, Actor: long, From: long, Through: long}, 1)
	if len(log.Next) > 32<<10 || len([]rune(log.Actor.Value)) != 1024 {
		t.Errorf("a link of %d bytes, an actor of %d", len(log.Next), len(log.Actor.Value))
	}
}
