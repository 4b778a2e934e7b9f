package page

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden pages")

var now = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

type writer interface {
	Write(to io.Writer, frame Frame) error
}

type example struct {
	name  string
	title string
	page  writer
}

const plaintext = "kw_live_EXAMPLE0000000000000000000000000000000000"

func examples() []example {
	return append(append(askExamples(), platformExamples()...), []example{
		{"signin", "Sign in", SignIn{Provider: "Acme SSO", Next: "/groups/acme"}},
		{"signin-refused", "Sign in", SignIn{Problem: "The API server does not know this token.", Next: "/", ServiceAccounts: true}},
		{"signin-leaving", "Sign in", Leaving{Provider: "Acme SSO", Href: "https://login.example/authorize?client_id=keyward&state=a"}},
		{"failure", "Not created", Failure{Reason: "The form was open for longer than your session.", Action: "/groups/acme/keys",
			Kept: []Field{{Name: "name", Label: "Name", Value: `<b>"Web"`, Error: "Use a-z, 0-9 and -."}, {Name: "projects", Label: "Projects", Value: "media"}}}},
		{"failure-forbidden", "Not allowed", Failure{Reason: "You may not do this: it needs the role admin in the namespace team.",
			Hint: "Whoever manages access to that namespace can give you the right.", Kept: []Field{{Name: "name", Label: "Name", Value: `<b>"Web"`},
				{Name: "description", Label: "Description", Value: "The shop\nof acme"}}}},
		{"groups", "Groups", Groups{Groups: []Group{
			{Name: "acme", Href: "/groups/acme", Tier: "gold", State: State{"Active", Good}, Keys: 4218, Requests: 12345678},
			{Name: "acme-staging", Href: "/groups/acme-staging", Tier: "free", State: State{"Quota nearly used", Warn}, Keys: 3, Requests: 9120},
			{Name: "old-shop", Href: "/groups/old-shop", Tier: "free", State: State{"Suspended", Bad}}}}},
		{"groups-empty", "Groups", Groups{}},
		{"groups-named", "Groups", Groups{Action: "/", Named: true, Asked: "/requests", Platform: "/platform"}},
		{"keys", "Keys of acme", Keys{Create: "/groups/acme/keys/new", Next: "/groups/acme?after=web", Keys: []Key{
			{Name: "checkout", Href: "/groups/acme/keys/checkout", Preview: "kw_live_…9f3a", Projects: "media, maps", Creator: "ada@acme.example",
				State: State{"Active", Good}, LastUse: now.Add(-3 * time.Minute), Expiry: now.Add(88 * 24 * time.Hour)},
			{Name: "web", Href: "/groups/acme/keys/web", Preview: "kw_live_…01cc", Projects: "media", Creator: "ben@acme.example",
				State: State{"Expired", Off}, Expiry: now.Add(-25 * time.Hour)}}}},
		{"revoke", "Revoke checkout", Revoke{Name: "checkout", Action: "/groups/acme/keys/checkout/revoke", Back: "/groups/acme/keys/checkout",
			Use: exampleUse, Typed: "chekout", Error: "This is not its name."}},
		{"claimed", "Key of checkout", Claimed{Plaintext: NewPlaintext(plaintext), Done: "/groups/acme/keys/checkout"}},
		{"claimed-gone", "Key of checkout", Claimed{Done: "/groups/acme/keys/checkout"}},
		{"key", "checkout", exampleKey},
		{"key-pending", "checkout", KeyDetail{Preview: "none yet", State: State{"Pending", Warn}, Problem: "No validation server is connected.",
			Projects: "media", Permissions: "read", Clients: "any client", Creator: "ada@acme.example"}},
		{"create", "Create key", exampleCreate},
		{"create-refused", "Create key", exampleCreateRefused()},
		{"rotate", "Rotate checkout", exampleRotate},
		{"suspend", "Suspend checkout", Suspend{Name: "checkout", Action: "/groups/acme/keys/checkout/suspend", Back: "/groups/acme/keys/checkout", Use: exampleUse}},
		{"resume", "Resume checkout", Resume{Name: "checkout", Action: "/groups/acme/keys/checkout/resume", Back: "/groups/acme/keys/checkout",
			Since: now.Add(-26 * time.Hour), By: "ben@acme.example", Remains: "The Group is frozen: the key is refused until it is Active again."}},
		{"usage", "Usage of acme", exampleUsage()},
		{"usage-empty", "Usage of acme", Usage{Month: "March 2026"}},
		{"projects", "Projects of acme", exampleProjects},
		{"projects-none", "Projects of acme", Projects{Projects: []Project{{Name: "default", All: true}}}},
		{"allowlist", "Allowlist shop", exampleAllowlist},
		{"allowlist-shared", "Allowlist shop", exampleAllowlistShared()},
		{"allowlist-managed", "Allowlist shop", exampleAllowlistManaged()},
		{"allowlist-viewed", "Allowlist shop", exampleAllowlistViewed()},
		{"keys-ordered", "Keys of acme", Keys{Keys: picturedKeys().Keys, Action: "/groups/team/acme", Some: true, Orders: exampleOrders,
			Next: "/groups/team/acme?after=web&order=expiry"}},
		{"keys-within", "Keys of acme", Keys{Action: "/groups/team/acme", Within: "team"}},
		{"keys-none", "Keys of acme", Keys{Action: "/groups/team/acme", Search: Input{Value: "shop"}}},
		{"failure-ended", "Not done", Failure{Reason: "Your session is over.", Action: "/groups/acme/allowlists/shop", SignIn: "/sign-in",
			Kept: []Field{{Name: "domains", Label: "Sites", Value: "acme.example\n*.acme.example", Error: "One is missing."}, {Name: "step", Value: "save", Hidden: true}}}},
		{"claim", "Key of checkout", Claim{Name: "checkout", Action: "/groups/acme/keys/checkout/claim", Back: "/groups/acme/keys/checkout"}},
		{"resume-cannot", "Resume checkout", Resume{Name: "checkout", Action: "/g/resume", Back: "/groups/acme/keys/checkout", Cannot: "The key is revoked for good."}},
		{"signout", "Sign out everywhere", SignOut{"/sign-out/everywhere"}},
		{"allowlists", "Allowlists of acme", Allowlists{Lists: []Link{{"team/shop", "/groups/acme/allowlists/shop"}}}},
		{"allowlists-none", "Allowlists of acme", Allowlists{}},
		{"allowlists-within", "Allowlists of acme", Allowlists{Within: "team"}},
		{"log", "Log of acme", exampleLog},
		{"log-nothing", "Log of acme", Log{Action: "/groups/acme/log", Types: exampleLog.Types, Object: Input{Value: "no-such"}, From: Input{Value: "yesterday",
			Error: "Write a day as 2026-03-01."}, Clear: "/groups/acme/log"}},
		{"requests", "Requests for keys of acme", exampleRequests},
		{"requests-none", "Requests for keys of acme", Requests{}},
		{"request", "Request for a key", exampleRequest},
		{"request-shortened", "Request for a key", exampleRequestShortened()},
		{"request-lacking", "Request for a key", exampleRequestLacking()},
		{"request-unfit", "Request for a key", exampleRequestUnfit()},
		{"request-refused", "Request for a key", exampleRequestRefused()},
		{"request-approved", "Request for a key", exampleRequestApproved()},
		{"request-over", "Request for a key", exampleRequestOver()},
	}...)
}

func (e example) render(t *testing.T) string {
	t.Helper()
	frame := Frame{Title: e.title, Token: "csrf-token", Now: now}
	if !strings.HasPrefix(e.name, "signin") {
		frame.Person, frame.SignOut = "ada@acme.example", true
	}
	if (strings.Contains(e.title, " ") || strings.HasPrefix(e.name, "key")) && frame.SignOut {
		frame.Crumbs = []Link{{"Groups", "/"}, {"acme", "/groups/acme"}}
	}
	if strings.HasPrefix(e.name, "allowlists") {
		frame.Tabs = []Tab{{Link{"Keys", "/groups/acme"}, false}, {Link{"Allowlists", "/groups/acme/allowlists"}, true}}
	}
	var to bytes.Buffer
	if err := e.page.Write(&to, frame); err != nil {
		t.Fatal(err)
	}
	return to.String()
}

func TestGolden(t *testing.T) {
	inline, ids := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script>|https?://[^<]*\.(js|css)`), regexp.MustCompile(`\sid="([^"]*)"`)
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			got := e.render(t)
			if found := inline.FindString(got); found != "" {
				t.Errorf("the policy refuses %q", found)
			}
			seen := map[string]bool{}
			for _, id := range ids.FindAllStringSubmatch(got, -1) {
				if seen[id[1]] {
					t.Errorf("two elements are called %q", id[1])
				}
				seen[id[1]] = true
			}
			if posts, tokens := strings.Count(got, `method="post"`), strings.Count(got, `name="csrf" value="csrf-token"`); posts != tokens {
				t.Errorf("%d forms have %d tokens", posts, tokens)
			}
			path := filepath.Join("testdata", e.name+".html")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("differs from %s (%v); -update writes it:\n%s", path, err, got)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	if got := (example{"keys", "Keys", Keys{}}).render(t); strings.Contains(got, "Create key") {
		t.Error("who may not create keys is offered to")
	}
}

func TestPlaintextIsNotPrinted(t *testing.T) {
	page := Claimed{Plaintext: NewPlaintext(plaintext)}
	encoded, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", page, page, page, page.Plaintext) + string(encoded); strings.Contains(text, plaintext) {
		t.Error(text)
	}
}

func TestRelative(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "just now", -59 * time.Second: "just now", 59 * time.Second: "in less than a minute", -time.Minute: "1 minute ago",
		-119 * time.Minute: "1 hour ago", 48 * time.Hour: "in 2 days", -2000 * 24 * time.Hour: "2,000 days ago",
	} {
		if got := relative(now, now.Add(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestAssets(t *testing.T) {
	path, err := assetPath("keyward.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", path, 200}, {"HEAD", path, 200}, {"POST", path, 405}, {"GET", "/assets/000000000000/keyward.css", 404},
		{"GET", "/assets/", 404}, {"GET", "/assets/x/../page.go", 404}, {"GET", "/assets/x/", 404},
	} {
		got := httptest.NewRecorder()
		Assets().ServeHTTP(got, httptest.NewRequest(c.method, "http://console.example"+c.path, nil))
		if got.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got.Code, c.status)
		}
		if kept := got.Header().Get("Cache-Control") != ""; kept != (c.status == http.StatusOK) {
			t.Errorf("%s %s: kept: %v", c.method, c.path, kept)
		}
	}
}

// TestTokens finds colours outside of the tokens, which one of the schemes would lack.
func TestTokens(t *testing.T) {
	content, err := assets.ReadFile("assets/keyward.css")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "/* End of the tokens. */")
	if colours := regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|\b(rgb|hsl|lab|lch|oklch)a?\(|\b(white|black)\b[^-]`).FindAllString(rest, -1); !found || len(colours) != 0 {
		t.Errorf("%v, colours %q", found, colours)
	}
}

// TestBytes bounds what a browser without a cache reads for any page.
func TestBytes(t *testing.T) {
	var fixed []byte
	for _, name := range []string{"keyward.css", "keyward.js", "icon.svg"} {
		content, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fixed = append(fixed, content...)
	}
	for _, e := range examples() {
		all := append([]byte(e.render(t)), fixed...)
		var small bytes.Buffer
		to := gzip.NewWriter(&small)
		_, _ = to.Write(all)
		_ = to.Close()
		t.Logf("%s: %d bytes, %d with gzip", e.name, len(all), small.Len())
		if len(all) >= 100_000 {
			t.Errorf("%s: %d bytes", e.name, len(all))
		}
	}
}
