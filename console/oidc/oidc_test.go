package oidc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/oidc"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

// site is a console with a provider.
type site struct {
	*provider
	*oidc.Provider
	time *time.Time
	log  *bytes.Buffer
}

func compile(t *testing.T, text string, list bool) *oidc.Expression {
	t.Helper()
	e, err := oidc.Compile(text, list)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func install(t *testing.T, change ...func(*oidc.Settings)) *site {
	t.Helper()
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	p := newProvider(t, now)
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := oidc.Settings{Name: "Example", Issuer: p.URL, ClientID: clientID, ClientSecretFile: secretFile, CAFile: p.caFile, Scopes: []string{"openid"}}
	for _, one := range change {
		one(&settings)
	}
	log := &bytes.Buffer{}
	signIn, err := oidc.New(settings, oidc.Environment{
		Origin: console, Ring: keyring.Random(at), Now: now, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Verify: func(_ context.Context, token string) (session.Claims, error) {
			return session.Claims{Name: "https://issuer#ada", Credential: session.NewCredential(token)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &site{p, signIn, &at, log}
}

// browser keeps the cookies of one person.
type browser struct {
	*site
	cookies map[string]*http.Cookie
}

func (s *site) browser() *browser { return &browser{s, map[string]*http.Cookie{}} }

func (b *browser) request(path string) (*httptest.ResponseRecorder, *http.Request) {
	r := httptest.NewRequest(http.MethodGet, console+path, nil)
	for _, one := range b.cookies {
		r.AddCookie(one)
	}
	return httptest.NewRecorder(), r
}

func (b *browser) keep(w *httptest.ResponseRecorder) {
	for _, one := range w.Result().Cookies() {
		if one.MaxAge < 0 {
			delete(b.cookies, one.Name)
			continue
		}
		if !strings.HasPrefix(one.Name, "__Host-") || !one.Secure || !one.HttpOnly || one.Path != "/" || one.Domain != "" {
			b.t.Errorf("a cookie is not its host's alone: %v", one)
		}
		b.cookies[one.Name] = one
	}
}

// begin returns the path that the browser comes back to.
func (b *browser) begin(next string) string {
	b.t.Helper()
	w, r := b.request("/sign-in/oidc")
	address, err := b.Begin(w, r, next)
	if err != nil {
		b.t.Fatal(err)
	}
	b.keep(w)
	return b.signIn(address)
}

func (b *browser) end(path string) (session.Claims, string, error) {
	w, r := b.request(path)
	of, next, err := b.End(w, r)
	b.keep(w)
	return of, next, err
}

// refused fails the test unless an error says so to a person.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	if said, ok := errors.AsType[*web.SignInError](err); !ok || !strings.Contains(said.Text, says) || len(said.Text) > 400 {
		t.Errorf("%v, and not %q", err, says)
	}
}

func TestTheIDTokenIsTheCredential(t *testing.T) {
	t.Parallel()
	b := install(t).browser()
	of, next, err := b.end(b.begin("/groups/team-a/acme?search=x"))
	if err != nil || of.Name != "https://issuer#ada" || next != "/groups/team-a/acme?search=x" || !of.Ends.Equal(b.time.Add(time.Hour)) {
		t.Fatalf("%+v, %q, %v", of, next, err)
	}
	if strings.Count(of.Credential.Reveal(), ".") != 2 || len(b.cookies) != 0 {
		t.Errorf("%v", b.cookies)
	}
	if _, next, err := b.end(b.begin("https://evil.example/")); err != nil || next != "/" {
		t.Errorf("%q, %v", next, err)
	}
	if _, next, err := b.end(b.begin("/groups?search=" + strings.Repeat("x", 2000))); err != nil || len(next) < 2000 {
		t.Errorf("%q, %v", next, err)
	}
	b.methods = []string{"client_secret_post"}
	if _, _, err := b.end(b.begin("/")); err != nil {
		t.Error(err)
	}
}

// TestWhatComesBackIsNotTrusted has each way in which a callback or a token is not what it should be.
func TestWhatComesBackIsNotTrusted(t *testing.T) {
	t.Parallel()
	with := func(name string, value any) func(*browser, string) string {
		return func(b *browser, path string) string {
			b.claims[name] = value
			return path
		}
	}
	token := func(issue func(p *provider, claims map[string]any) string) func(*browser, string) string {
		return func(b *browser, path string) string {
			b.token = issue
			return path
		}
	}
	encode := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	query := func(change func(url.Values)) func(*browser, string) string {
		return func(_ *browser, path string) string {
			before, text, _ := strings.Cut(path, "?")
			q, err := url.ParseQuery(text)
			if err != nil {
				t.Fatal(err)
			}
			change(q)
			return before + "?" + q.Encode()
		}
	}
	const notGood = "The ID token of the provider is not good"
	for name, one := range map[string]struct {
		change func(b *browser, path string) string
		says   string // "": it was not begun here
	}{
		"wrong state": {query(func(q url.Values) { q.Set("state", "other") }), ""},
		"no state":    {query(func(q url.Values) { q.Del("state") }), ""},
		"no cookie": {func(b *browser, path string) string {
			clear(b.cookies)
			return path
		}, ""},
		"cookie of another sign-in": {func(b *browser, path string) string {
			other := b.browser()
			other.begin("/")
			b.cookies = other.cookies
			return path
		}, ""},
		"cookie that was changed": {func(b *browser, path string) string {
			c := b.cookies["__Host-keyward-oidc"]
			c.Value = c.Value[:len(c.Value)-4] + "AAAA"
			return path
		}, ""},
		"10 minutes later": {func(b *browser, path string) string {
			*b.time = b.time.Add(10 * time.Minute)
			return path
		}, ""},
		"code of another browser": {func(b *browser, path string) string {
			other, err := url.Parse(b.browser().begin("/"))
			if err != nil {
				t.Fatal(err)
			}
			return query(func(q url.Values) { q.Set("code", other.Query().Get("code")) })(b, path)
		}, "did not accept its own code"},
		"two codes":              {func(_ *browser, path string) string { return path + "&code=x" }, "no one meaning"},
		"no code":                {query(func(q url.Values) { q.Del("code") }), "sent no code"},
		"answer of another":      {query(func(q url.Values) { q.Set("iss", "https://evil.example") }), "of another provider"},
		"denied":                 {query(func(q url.Values) { q.Set("error", "access_denied") }), "did not let you sign in"},
		"an error of its own":    {query(func(q url.Values) { q.Set("error", "<script>"+strings.Repeat("x", 5000)) }), "refused the console (other)"},
		"a standard error":       {query(func(q url.Values) { q.Set("error", "invalid_scope") }), "(invalid_scope)"},
		"wrong nonce":            {with("nonce", "other"), "of another sign-in"},
		"no nonce":               {with("nonce", nil), "of another sign-in"},
		"other issuer":           {with("iss", "https://evil.example"), notGood},
		"other audience":         {with("aud", "other"), notGood},
		"expired":                {with("exp", time.Date(2026, 11, 27, 11, 59, 59, 0, time.UTC).Unix()), notGood},
		"not yet":                {with("nbf", time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC).Unix()), notGood},
		"two audiences":          {with("aud", []string{clientID, "other"}), "for another program"},
		"another party":          {with("azp", "other"), "for another program"},
		"an azp that is no text": {with("azp", 7), "for another program"},
		"alg none": {token(func(_ *provider, claims map[string]any) string {
			return encode(map[string]string{"alg": "none"}) + "." + encode(claims) + "."
		}), notGood},
		"alg HS256 with the secret of the client": {token(func(p *provider, claims map[string]any) string {
			return sign(p.t, jose.HS256, []byte(secret+strings.Repeat("x", 32)), claims)
		}), notGood},
		"signed by another": {token(func(p *provider, claims map[string]any) string {
			return sign(p.t, jose.ES256, jose.JSONWebKey{Key: newProvider(p.t, p.now).key, KeyID: p.kid}, claims)
		}), notGood},
		"a text":   {token(func(*provider, map[string]any) string { return "x" }), notGood},
		"no token": {token(func(*provider, map[string]any) string { return "" }), "no ID token that can be used"},
		"too long": {token(func(*provider, map[string]any) string { return strings.Repeat("x", 64<<10+1) }), "no ID token that can be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := install(t).browser()
			path := one.change(b, b.begin("/groups/team-a/acme"))
			of, next, err := b.end(path)
			if of.Name != "" || of.Credential.Reveal() != "" {
				t.Fatalf("somebody has signed in: %+v", of)
			}
			if one.says == "" {
				if !errors.Is(err, web.ErrNotBegun) || next != "/" {
					t.Errorf("%v, %q", err, next)
				}
				return
			}
			refused(t, err, one.says)
			if strings.Contains(err.Error(), "<script>") || next != "/groups/team-a/acme" {
				t.Errorf("%v, %q", err, next)
			}
			sent, _ := url.Parse(path)
			for _, value := range []string{sent.Query().Get("code"), sent.Query().Get("state"), "eyJ"} {
				if len(value) > 2 && strings.Contains(b.log.String(), value) {
					t.Errorf("the log has %q: %s", value, b.log)
				}
			}
			if _, _, err := b.end(path); !errors.Is(err, web.ErrNotBegun) {
				t.Errorf("it can be tried again: %v", err)
			}
		})
	}
}

func TestACallbackIsGoodOnce(t *testing.T) {
	t.Parallel()
	b := install(t).browser()
	path := b.begin("/")
	stolen := *b.cookies["__Host-keyward-oidc"]
	if _, _, err := b.end(path); err != nil {
		t.Fatal(err)
	}
	b.cookies[stolen.Name] = &stolen
	if _, _, err := b.end(path); !errors.Is(err, web.ErrNotBegun) {
		t.Errorf("it is good twice: %v", err)
	}
}

func TestTheProviderIsFoundWhenItIsUp(t *testing.T) {
	t.Parallel()
	s := install(t)
	s.setDown(true)
	b := s.browser()
	begin := func() error {
		w, r := b.request("/sign-in/oidc")
		_, err := b.Begin(w, r, "/")
		return err
	}
	if err := begin(); err == nil || len(b.cookies) != 0 {
		t.Fatalf("%v", err)
	}
	s.setDown(false)
	if err := begin(); err == nil { // within two seconds nobody asks again
		t.Error("it was asked again at once")
	}
	*s.time = s.time.Add(2 * time.Second)
	path := b.begin("/")
	s.setDown(true)
	if _, _, err := b.end(path); err == nil {
		t.Error("a provider that is down gives a token")
	} else if _, said := errors.AsType[*web.SignInError](err); said {
		t.Errorf("it says that the person is refused: %v", err)
	}
	*s.time = s.time.Add(2 * time.Hour) // what was found still holds
	path = b.begin("/")
	s.setDown(false)
	if _, _, err := b.end(path); err != nil {
		t.Error(err)
	}
	*s.time = s.time.Add(2 * time.Second)
	b.begin("/")
	if s.asked != 2 { // while it was up
		t.Errorf("it was asked %d times", s.asked)
	}
}

func TestKeysOfTheProviderAreRotated(t *testing.T) {
	t.Parallel()
	b := install(t).browser()
	if _, _, err := b.end(b.begin("/")); err != nil {
		t.Fatal(err)
	}
	b.rotate("key-2")
	if _, _, err := b.end(b.begin("/")); err != nil {
		t.Error(err)
	}
}

func TestTheSecretOfTheClientIsReadAtEachUse(t *testing.T) {
	t.Parallel()
	var file string
	s := install(t, func(settings *oidc.Settings) { file = settings.ClientSecretFile })
	b := s.browser()
	for _, text := range []string{"wrong", "", secret} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, r := b.request("/sign-in/oidc")
		address, err := b.Begin(w, r, "/")
		if text == "" {
			if err == nil {
				t.Error("an empty secret is sent")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b.keep(w)
		if _, _, err := b.end(b.signIn(address)); (err == nil) != (text == secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if strings.Contains(s.log.String(), secret) || !strings.Contains(s.log.String(), "invalid_client") {
		t.Errorf("the log: %s", s.log)
	}
}

func TestAnswersOfTheProviderHaveABound(t *testing.T) {
	t.Parallel()
	b := install(t).browser()
	b.answer = func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"` + strings.Repeat("x", 2<<20) + `"}`))
		return true
	}
	if _, _, err := b.end(b.begin("/")); err == nil {
		t.Error("two megabytes are read")
	}
	elsewhere := 0
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	t.Cleanup(other.Close)
	b.answer = func(w http.ResponseWriter) bool {
		w.Header().Set("Location", other.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
	if _, _, err := b.end(b.begin("/")); err == nil || elsewhere > 0 {
		t.Errorf("a code is sent elsewhere: %v", err)
	}
}

func TestWhatCannotWorkFailsAtTheStart(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{empty: "there is no certificate in it", empty + "x": "no such file"} {
		if _, err := oidc.New(oidc.Settings{CAFile: file}, oidc.Environment{}); err == nil || !strings.Contains(err.Error(), "oidc.caFile: ") ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%v", err)
		}
	}
}
