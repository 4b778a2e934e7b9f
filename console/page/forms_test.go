package page

import (
	"strings"
	"testing"
	"time"
)

var exampleCreate = Create{
	Action: "/groups/acme/keys", Back: "/groups/acme",
	Projects:    Choices{Of: []Choice{{Value: "media", Text: "media", Chosen: true}, {Value: "maps", Text: "maps"}}},
	Permissions: Choices{Of: []Choice{{Value: "read", Text: "read", Chosen: true}, {Value: "checkout", Text: "checkout"}}},
	Clients: Choices{Of: []Choice{{Value: "Any", Text: "Any", Chosen: true}, {Value: "Browser", Text: "Browsers"},
		{Value: "Server", Text: "Servers"}}},
	Lifetimes: Choices{Of: []Choice{{Value: "30d", Text: "30 days"}, {Value: "60d", Text: "60 days"},
		{Value: "90d", Text: "90 days", Chosen: true, Recommended: true}, {Value: "Never", Text: "never"}}},
	Rotations: Choices{Of: []Choice{{Text: "on request only", Chosen: true}, {Value: "30d", Text: "every 30 days"},
		{Value: "60d", Text: "every 60 days"}}},
	Reveals: Choices{Of: []Choice{{Value: "Mounted", Text: "in a Secret that applications mount", Chosen: true},
		{Value: "Once", Text: "once, to whoever claims it"}}},
}

func exampleCreateRefused() Create {
	page := exampleCreate
	page.Problem = "Nothing was created: see the fields below."
	page.Name = Input{Value: "Web shop", Error: "Use lower-case letters, digits and hyphens."}
	page.Description = Input{Value: "</textarea><b>Shop"}
	page.Addresses = Input{Value: "192.0.2.0/24\n198.51.100", Error: "198.51.100 is not a prefix."}
	page.Rotations = Choices{Of: page.Rotations.Of, Error: "A key that is shown once cannot rotate automatically."}
	page.YAML = "apiVersion: keyward.dev/v1alpha1\nkind: ApiKey\nmetadata:\n  name: web-shop\n  namespace: acme\nspec:\n  groupRef:\n" +
		"    name: acme\n  projects: [media]\n  permissions: [read]\n  expiresAfter: 90d\n"
	return page
}

var exampleRotate = Rotate{
	Name: "checkout", Action: "/groups/acme/keys/checkout/rotate", Back: "/groups/acme/keys/checkout", Preview: "kw_live_…9f3a",
	LastUse: exampleUse.Last, Once: true,
	Overlaps: []Overlap{
		{Choice{Value: "24h", Text: "24 hours", Chosen: true, Recommended: true}, []Step{
			{"now", "A new version is minted, and sent to 3 validation servers."},
			{"once all have it", "The Secret gets it. Both versions are accepted."},
			{"15 March, 09:00 UTC", "The earlier version ends: it is refused with key_retired."}}},
		{Choice{Value: "7d", Text: "7 days"}, []Step{
			{"now", "A new version is minted, and sent to 3 validation servers."},
			{"once all have it", "The Secret gets it. Both versions are accepted."},
			{"21 March, 09:00 UTC", "The earlier version ends: it is refused with key_retired."}}},
		{Choice{Value: "0s", Text: "none, because others know the key"}, []Step{
			{"now", "A new version is minted, and sent to 3 validation servers."},
			{"once all have it", "The Secret gets it, and the earlier version ends at once: applications fail until they read the Secret again."}}},
	},
}

var exampleAllowlist = Allowlist{
	Action: "/groups/acme/allowlists/shop", Back: "/groups/acme", Localhost: true, Version: "5a0c2f0e.3",
	Domains:  Input{Value: "acme.example\n*.acme.example\nhttps://shop.example:8443"},
	Projects: Choices{Of: []Choice{{Value: "media", Text: "media", Chosen: true}, {Value: "maps", Text: "maps"}}},
	Missing:  Choices{Of: []Choice{{Value: "Deny", Text: "are refused", Chosen: true}, {Value: "Allow", Text: "are accepted"}}},
	Site:     Input{Value: "https://shop.example/cart"},
	Verdict: &Verdict{Origin: "https://shop.example", Why: "https://shop.example:8443 is another port. Add shop.example, if you trust " +
		"every page there."},
	YAML: "apiVersion: keyward.dev/v1alpha1\nkind: DomainAllowlist\nmetadata:\n  name: shop\n  namespace: acme\nspec:\n  groupRef:\n" +
		"    name: acme\n  projects: [media]\n  domains:\n    - acme.example\n    - \"*.acme.example\"\n    - https://shop.example:8443\n",
}

func exampleAllowlistShared() Allowlist {
	page := exampleAllowlist
	page.Domains.Value = "https://*.github.io"
	page.Warnings = []string{"spec.domains[0]: https://*.github.io allows sites of strangers, too: <b>whoever hosts one on github.io chooses its name."}
	return page
}

func exampleAllowlistViewed() Allowlist {
	page := exampleAllowlist
	page.ReadOnly, page.YAML = true, ""
	page.Site = Input{Value: "https://www.acme.example"}
	page.Verdict = &Verdict{Passes: true, Origin: "https://www.acme.example", Why: "*.acme.example allows it."}
	return page
}

func exampleAllowlistManaged() Allowlist {
	page := exampleAllowlist
	page.Managed, page.Verdict = "Argo CD", nil
	return page
}

var exampleLog = Log{
	Action: "/groups/acme/log", Next: "/groups/acme/log?before=811",
	Types: Choices{Of: []Choice{{Text: "all", Chosen: true}, {Value: "rotated", Text: "rotated"}, {Value: "revoked", Text: "revoked"}}},
	Entries: []Entry{
		{At: now.Add(-3 * time.Minute), What: "Revoked", Tone: Bad, Object: Link{Text: "old-import"}, Actor: "ada@acme.example",
			Detail: "Enforced on 3 of 3 validation servers after 41 ms."},
		{At: now.Add(-26 * time.Hour), What: "Rotated", Tone: Good, Object: Link{"checkout", "/groups/acme/keys/checkout"}, Impersonal: true,
			Detail: "Version 3 replaces version 2, which ends on 19 March."},
		{At: now.Add(-50 * time.Hour), What: "Suspended", Tone: Warn, Object: Link{"web", "/groups/acme/keys/web"},
			Actor: "system:serviceaccount:continuous-delivery:pipeline", Detail: "By a change in Git."}},
}

func TestWhoMayOnlyLookCannotSave(t *testing.T) {
	got := (example{"allowlist-viewed", "Allowlist shop", exampleAllowlistViewed()}).render(t)
	if strings.Contains(got, `value="save"`) || !strings.Contains(got, `<fieldset class="bare" disabled>`) || !strings.Contains(got, `value="check"`) {
		t.Error(got)
	}
}

func TestWhatWasEnteredStaysText(t *testing.T) {
	got := (example{"create-refused", "Create key", exampleCreateRefused()}).render(t)
	for _, want := range []string{"&lt;/textarea&gt;&lt;b&gt;Shop</textarea>", `value="Web shop" aria-describedby="name-error name-help" aria-invalid="true"`,
		"\n192.0.2.0/24\n198.51.100</textarea>"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %q", got, want)
		}
	}
}
