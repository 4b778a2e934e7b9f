package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

const (
	origin    = "https://console.example"
	token     = "a-token-of-the-cluster"
	plaintext = "kw_live_PLAINTEXT00000000000000000000000000000000"
)

var (
	acme     = place.Group{Namespace: "team-a", Name: "acme"}
	other    = place.Group{Namespace: "team-b", Name: "other"}
	asked    = place.Request{Namespace: "shop", Name: "web"}
	checkout = place.Key{Group: acme, Namespace: "team-a", Name: "checkout"}
)

// desk is a Desk that answers with examples, and records the calls that change something, and who made them.
type desk struct {
	of      string
	changes *[]string
	fails   *error // of the next calls, until it is nil
	claimed *bool
	entered **web.EnteredKey // the last that NewKey had
	cannot  *string          // what pages of changes say at first
	follows *chan string     // what Follow returns
	sees    *bool            // requests for keys
	warns   *[]string        // of the API server, about what is changed
}

func (d desk) change(ctx context.Context, format string, args ...any) error {
	for _, text := range *d.warns {
		web.Warn(ctx, text)
	}
	*d.changes = append(*d.changes, d.of+": "+fmt.Sprintf(format, args...))
	return *d.fails
}

func (d desk) Member(_ context.Context, of place.Group) (role.Role, string, error) {
	if of != acme && of != other {
		return "", "", fmt.Errorf("groups %q: %w", of.Name, web.ErrNotFound)
	}
	return role.Admin, "gold", nil
}

func (d desk) Groups(context.Context, web.ListQuery) (page.Groups, error) {
	return page.Groups{Groups: []page.Group{{Name: "acme", Href: acme.Of()}}}, *d.fails
}

func (d desk) Platform(context.Context) (page.Platform, error) {
	return page.Platform{Version: "v0.1.0"}, *d.fails
}

func (d desk) Keys(_ context.Context, of place.Group, query web.ListQuery) (page.Keys, error) {
	orders := page.Choices{Of: []page.Choice{{Value: "name", Text: "Name"}, {Value: "newest", Text: "Newest", Chosen: query.Order == "newest"}}}
	return page.Keys{Create: of.Of("new-key"), Orders: orders, Next: of.Of() + "?after=x", Keys: []page.Key{{Name: "checkout of " + of.Name + query.Search + query.After, Href: checkout.Of()}}}, *d.fails
}

func (d desk) Key(context.Context, place.Key) (page.KeyDetail, error) {
	return page.KeyDetail{Preview: "kw_live_…9f3a"}, *d.fails
}

func (d desk) Follow(context.Context, place.Key) (<-chan string, error) { return *d.follows, *d.fails }

func (d desk) Projects(_ context.Context, of place.Group) (page.Projects, error) {
	return page.Projects{Projects: []page.Project{{Name: "media of " + of.Name}}}, *d.fails
}

func (d desk) Usage(_ context.Context, _ place.Group, month string) (page.Usage, error) {
	return page.Usage{Month: "Month " + month}, *d.fails
}

func (d desk) Log(_ context.Context, of place.Group, query web.LogQuery) (page.Log, error) {
	return page.Log{Action: of.Of("log"), Entries: []page.Entry{{What: fmt.Sprintf("asked for %+v", query)}}}, *d.fails
}

func (d desk) Allowlists(_ context.Context, of place.Group) (page.Allowlists, error) {
	return page.Allowlists{Lists: []page.Link{{Text: "sites", Href: of.Allowlist("team-a", "sites")}}}, *d.fails
}

func (d desk) Allowlist(_ context.Context, of place.Group, namespace, name string, entered *web.EnteredAllowlist) (page.Allowlist, error) {
	p := page.Allowlist{Action: of.Allowlist(namespace, name), Back: of.Of()}
	if entered != nil {
		p.Domains.Value, p.Site.Value, p.Version = strings.Join(entered.Domains, "\n"), entered.Site, entered.Version
	}
	return p, nil
}

func (d desk) AllowlistYAML(ctx context.Context, of place.Group, namespace, name string, entered web.EnteredAllowlist) (page.Allowlist, error) {
	p, _ := d.Allowlist(ctx, of, namespace, name, &entered)
	p.YAML = "kind: DomainAllowlist"
	return p, *d.fails
}

func (d desk) SaveAllowlist(ctx context.Context, _ place.Group, namespace, name string, entered web.EnteredAllowlist) error {
	return d.change(ctx, "save %s/%s %+v", namespace, name, entered)
}

func (d desk) SeesRequests(context.Context, place.Group) (bool, error) { return *d.sees, *d.fails }

func (d desk) Requests(_ context.Context, of place.Group, after string) (page.Requests, error) {
	return page.Requests{Requests: []page.Request{{Name: "web" + after, Href: of.Request("5f0c")}}}, *d.fails
}

func (d desk) Request(_ context.Context, of place.Group, review string) (page.RequestDetail, error) {
	return page.RequestDetail{Action: of.Request(review), Back: of.Of("requests"), Decides: true, Problem: *d.cannot,
		Decided: []page.Decided{{By: "who-was-faster"}}}, nil
}

func (d desk) DecideRequest(ctx context.Context, of place.Group, review string, decision web.Decision) error {
	return d.change(ctx, "decide %s %+v", of.Request(review), decision)
}

func (d desk) OwnRequests(_ context.Context, query web.ListQuery) (page.OwnRequests, error) {
	return page.OwnRequests{Action: place.Requests, Ask: place.Ask, Requests: []page.Request{{Name: query.Search + query.After, Namespace: "shop", Href: asked.Of()}}}, *d.fails
}

func (d desk) OwnRequest(context.Context, place.Request) (page.OwnRequest, error) {
	return page.OwnRequest{Problem: "Nobody has decided."}, *d.fails
}

func (d desk) NewRequest(_ context.Context, entered web.EnteredRequest, sent bool) (page.Ask, error) {
	p := page.Ask{
		Action: place.Ask, Namespace: page.Input{Value: entered.Namespace}, Name: page.Input{Value: entered.Name}, Group: page.Input{Value: entered.Group},
		Projects: page.Pick{Value: strings.Join(entered.Projects, "\n")}, Permissions: page.Pick{Value: strings.Join(entered.Permissions, "\n")},
		UseCase: page.Input{Value: entered.UseCase}, Lifetime: page.Pick{Value: entered.Lifetime},
	}
	if !sent {
		p.Problem = *d.cannot
		return p, *d.fails
	}
	return p, nil
}

func (d desk) AskYAML(ctx context.Context, entered web.EnteredRequest) (page.Ask, error) {
	p, _ := d.NewRequest(ctx, entered, true)
	p.YAML = "kind: KeyRequest"
	return p, *d.fails
}

func (d desk) CreateRequest(ctx context.Context, entered web.EnteredRequest) (place.Request, error) {
	return place.Request{Namespace: entered.Namespace, Name: entered.Name}, d.change(ctx, "ask %+v", entered)
}

func (d desk) Deletable(_ context.Context, of place.Request) (page.DeleteRequest, error) {
	return page.DeleteRequest{Name: of.Name, Action: of.Of("delete"), Key: of.Name, Error: *d.cannot}, nil
}

func (d desk) DeleteRequest(ctx context.Context, of place.Request, typed string) error {
	return d.change(ctx, "delete %s, typed %q", of.Of(), typed)
}

func (d desk) NewKey(_ context.Context, of place.Group, entered *web.EnteredKey, yaml bool) (page.Create, error) {
	*d.entered = entered
	p := page.Create{Action: of.Of("new-key"), Back: of.Of(), Projects: page.Choices{Of: []page.Choice{{Value: "media", Text: "media"}}}}
	if entered != nil {
		p.Name.Value, p.Description.Value = entered.Name, entered.Description
	}
	if yaml {
		p.YAML = "kind: ApiKey"
	}
	return p, nil
}

func (d desk) CreateKey(ctx context.Context, of place.Group, entered web.EnteredKey) (place.Key, error) {
	return place.Key{Group: of, Namespace: of.Namespace, Name: entered.Name}, d.change(ctx, "create %s/%s %+v", of.Namespace, of.Name, entered)
}

func (d desk) Rotate(_ context.Context, of place.Key) (page.Rotate, error) {
	return page.Rotate{Name: of.Name, Cannot: *d.cannot, Action: of.Of("rotate"), Overlaps: []page.Overlap{{Choice: page.Choice{Value: "24h", Text: "24 hours"}}}}, nil
}

func (d desk) Suspend(_ context.Context, of place.Key) (page.Suspend, error) {
	return page.Suspend{Name: of.Name, Cannot: *d.cannot, Action: of.Of("suspend")}, nil
}

func (d desk) Resume(_ context.Context, of place.Key) (page.Resume, error) {
	return page.Resume{Name: of.Name, Cannot: *d.cannot, Action: of.Of("resume")}, nil
}

func (d desk) Revoke(_ context.Context, of place.Key) (page.Revoke, error) {
	return page.Revoke{Name: of.Name, Cannot: *d.cannot, Action: of.Of("revoke")}, nil
}

func (d desk) DoRotate(ctx context.Context, of place.Key, overlap string) error {
	return d.change(ctx, "rotate %s %s", of.Of(), overlap)
}

func (d desk) DoSuspend(ctx context.Context, of place.Key) error {
	return d.change(ctx, "suspend %s", of.Of())
}

func (d desk) DoResume(ctx context.Context, of place.Key) error {
	return d.change(ctx, "resume %s", of.Of())
}

func (d desk) DoRevoke(ctx context.Context, of place.Key) error {
	return d.change(ctx, "revoke %s", of.Of())
}

func (d desk) Claimable(_ context.Context, of place.Key) (page.Claim, error) {
	return page.Claim{Name: of.Name, Cannot: *d.cannot, Action: of.Of("claim")}, nil
}

func (d desk) Claim(ctx context.Context, of place.Key) (page.Plaintext, error) {
	if err := d.change(ctx, "claim %s", of.Of()); err != nil || *d.claimed {
		return page.Plaintext{}, err
	}
	*d.claimed = true
	return page.NewPlaintext(plaintext), nil
}

// installation is a console with its Desk.
type installation struct {
	t       testing.TB
	handler http.Handler
	now     time.Time
	log     *bytes.Buffer
	metrics *prometheus.Registry
	changes []string
	fails   error
	entered *web.EnteredKey
	cannot  string
	follows chan string
	sees    bool
	warns   []string
}

func install(t testing.TB, change ...func(*web.Config)) *installation {
	t.Helper()
	i := &installation{t: t, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), log: &bytes.Buffer{}, metrics: prometheus.NewRegistry()}
	claimed := false
	now := func() time.Time { return i.now }
	config := web.Config{
		Desk: func(of *person.Person) (web.Desk, error) {
			return desk{of.Name, &i.changes, &i.fails, &claimed, &i.entered, &i.cannot, &i.follows, &i.sees, &i.warns}, nil
		},
		Ring: keyring.Random(i.now), Now: now, Log: slog.New(slog.NewJSONHandler(i.log, nil)), Registry: i.metrics,
		Revocations: session.NewMemory(now, i.now.Add(-time.Hour)), Origins: []string{origin},
		Reach: func(of session.Claims) (*rest.Config, error) {
			return &rest.Config{BearerToken: of.Credential.Reveal()}, nil
		},
		Address: func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("Test-Address")) },
		Verify: func(_ context.Context, sent string) (session.Claims, error) {
			switch sent {
			case token:
				return session.Claims{Name: "ada", Credential: session.NewCredential(sent)}, nil
			case "down":
				return session.Claims{}, errors.New("no answer to " + sent)
			}
			return session.Claims{}, &web.SignInError{Text: "The API server does not know this token."}
		},
	}
	for _, one := range change {
		one(&config)
	}
	handler, err := web.New(config)
	if err != nil {
		t.Fatal(err)
	}
	i.handler = handler
	return i
}

// browser keeps cookies, and follows no redirect.
type browser struct {
	*installation
	cookies map[string]string
	headers map[string]string
	origin  string
}

func (i *installation) browser() *browser {
	return &browser{i, map[string]string{}, map[string]string{"Sec-Fetch-Site": "same-origin", "Test-Address": "192.0.2.1"}, origin}
}

// own adds to a request what each of the browser has.
func (b *browser) own(r *http.Request) *http.Request {
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func (b *browser) do(method, path, body string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := b.own(httptest.NewRequest(method, b.origin+path, strings.NewReader(body)))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	for _, set := range w.Result().Cookies() {
		if set.MaxAge < 0 {
			delete(b.cookies, set.Name)
			continue
		}
		b.cookies[set.Name] = set.Value
	}
	if text := w.Body.String(); strings.Contains(text, token) {
		b.t.Errorf("%s %s: the response has the credential", method, path)
	}
	if strings.HasPrefix(path, "/assets/") {
		return w
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		b.t.Errorf("%s %s: Cache-Control: %q", method, path, got)
	}
	return w
}

// get returns a page, and follows one redirect to the same path, as one that chooses a Group.
func (b *browser) get(path string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.do(http.MethodGet, path, "")
	if w.Code == http.StatusSeeOther && w.Header().Get("Location") == path {
		w = b.do(http.MethodGet, path, "")
	}
	return w
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

func formToken(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	found := tokenField.FindStringSubmatch(w.Body.String())
	if found == nil {
		t.Fatalf("%d: the page has no form: %s", w.Code, w.Body)
	}
	return found[1]
}

// send gets the page of a form, and sends the form.
func (b *browser) send(path string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.post(path, formToken(b.t, b.get(path)), form)
}

func (b *browser) post(path, token string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	sent := url.Values{csrf.Field: {token}}
	for name, values := range form {
		sent[name] = values
	}
	return b.do(http.MethodPost, path, sent.Encode())
}

func (b *browser) signIn() *browser {
	b.t.Helper()
	w := b.post("/sign-in/token", formToken(b.t, b.get("/sign-in")), url.Values{"token": {token}})
	if w.Code != http.StatusSeeOther {
		b.t.Fatalf("signing in: %d %s", w.Code, w.Body)
	}
	return b
}

func want(t testing.TB, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("the status is %d, not %d: %s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("the page lacks %q: %s", text, w.Body)
		}
	}
}
