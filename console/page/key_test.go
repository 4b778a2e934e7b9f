package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const day = 24 * time.Hour

var exampleUse = Use{Last: now.Add(-3 * time.Minute), Today: 5210, Week: 41_120, Origins: []string{"https://www.acme.example"}}

var exampleKey = KeyDetail{
	Version: "4711", Live: "/groups/team-a/acme/keys/team-a/checkout/live",
	Preview: "kw_live_…9f3a", Description: "The checkout of the web shop.", State: State{"Active", Good}, Projects: "media, maps",
	Permissions: "read, checkout", Clients: "servers, in 192.0.2.0/24", Creator: "ada@acme.example",
	LastUse: now.Add(-3 * time.Minute), Expiry: now.Add(88 * day), Rotation: now.Add(28 * day),
	Actions: []Action{{"Rotate", "/groups/acme/keys/checkout/rotate", false}, {"Suspend", "/groups/acme/keys/checkout/suspend", false},
		{"Revoke", "/groups/acme/keys/checkout/revoke", true}},
	Versions: []Version{
		{ID: "1", Preview: "kw_live_…77b0", State: State{"Retired", Off}, Minted: now.Add(-62 * day), Replaced: now.Add(-32 * day),
			Ends: now.Add(-31 * day), LastUse: now.Add(-32 * day)},
		{ID: "2", Preview: "kw_live_…c2e1", State: State{"Retiring", Warn}, Minted: now.Add(-32 * day), Replaced: now.Add(-2 * day),
			Ends: now.Add(5 * day), LastUse: now.Add(-40 * time.Minute)},
		{ID: "3", Preview: "kw_live_…9f3a", State: State{"Active", Good}, Minted: now.Add(-2 * day), Ends: now.Add(88 * day),
			LastUse: now.Add(-3 * time.Minute)},
	},
	Enforcement: Enforcement{Acknowledged: 2, Servers: 3, Each: []Server{
		{"edge-a", State{"Enforced", Good}, now.Add(-2 * day)}, {"edge-b", State{"Enforced", Good}, now.Add(-2 * day)},
		{"shop-7d9f8c6b5-x2x4p", State{"Not connected", Bad}, now.Add(-20 * time.Minute)}}},
	Managed: "Flux", RefusalsKnown: true,
	Refusals: []Refusal{
		{Since: now.Add(-5 * time.Hour), Last: now.Add(-9 * time.Minute), Code: "origin_denied",
			Cause: "Project media may not be used from https://shop.example.", Hint: "Add the site to an allowlist, if it is yours.",
			Origin: "https://shop.example", Times: 12},
		{Since: now.Add(-3 * time.Hour), Last: now.Add(-3 * time.Hour), Code: "permission_denied",
			Cause: "The key does not permit this method on this path.", Hint: "Add the permission to the key.", Times: 1}},
	Mount: Mount{Namespace: "shop", Secret: "checkout", Item: "api-key", Address: "https://cdn.acme.example/api/scenes/1"},
}

func TestAxisIsInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := rapid.IntRange(-20_000, 20_000)
		var versions []Version
		for range rapid.IntRange(0, 16).Draw(t, "versions") {
			v := Version{Minted: now.Add(time.Duration(hours.Draw(t, "minted")) * time.Hour)}
			if rapid.Bool().Draw(t, "ends") {
				v.Ends = now.Add(time.Duration(hours.Draw(t, "end")) * time.Hour)
			}
			if rapid.Bool().Draw(t, "replaced") {
				v.Replaced = now.Add(time.Duration(hours.Draw(t, "replacement")) * time.Hour)
			}
			versions = append(versions, v)
		}
		a := newAxis(now, versions)
		inside := func(parts ...string) {
			sum := 0.0
			for _, part := range parts {
				var n float64
				if _, err := fmt.Sscanf(part, "%f%%", &n); part != "" && (err != nil || n < 0) {
					t.Fatalf("%q", part)
				}
				sum += n
			}
			if sum > 100.02 {
				t.Fatalf("%v", parts)
			}
		}
		inside(a.Now)
		for _, r := range a.Rows {
			inside(r.At, r.Width, r.EndWidth)
			inside(r.EndAt, r.EndWidth)
		}
	})
}

func TestSnippetsAreQuoted(t *testing.T) {
	for _, s := range snippets(Mount{Namespace: "shop", Secret: "web", Item: ".env", Address: `https://a.example/'"$(id)`}) {
		for title, want := range map[string]string{"Shell": `-o jsonpath='{.data.\.env}'`, "curl": `'https://a.example/'\''"$(id)'`,
			"fetch, on a server": `fetch("https://a.example/'\"$(id)", {`} {
			if s.Title == title && !strings.Contains(s.Text, want) {
				t.Errorf("%s lacks %s", s.Text, want)
			}
		}
	}
}

func TestActionsOfRoles(t *testing.T) {
	viewed := exampleKey
	viewed.Actions = nil
	if got := (example{"key", "checkout", viewed}).render(t); strings.Contains(got, "Rotate<") || strings.Contains(got, "Revoke<") {
		t.Error("who may only look is offered to change")
	}
}
