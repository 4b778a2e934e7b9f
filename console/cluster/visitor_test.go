package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

const origin = "https://console.example"

// newConsole is the console with the real desk. What is pasted as a token is the name of the user.
func newConsole(w *testenv.World) *web.Pages {
	GinkgoHelper()
	pages, err := web.New(web.Config{
		Desk: func(of *person.Person) (web.Desk, error) {
			return cluster.New(of, cluster.Options{Now: w.Clock.Now, ManagerNamespace: w.Namespace})
		},
		Ring: keyring.Random(w.Clock.Now()), Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler),
		Revocations: session.NewMemory(w.Clock.Now, w.Clock.Now().Add(-time.Hour)), Origins: []string{origin},
		Reach: func(of session.Claims) (*rest.Config, error) {
			config := rest.CopyConfig(testenv.Config)
			config.Impersonate = rest.ImpersonationConfig{UserName: of.Name, Groups: []string{"system:authenticated"}}
			return config, nil
		},
		Address: func(*http.Request) netip.Addr { return netip.Addr{} },
		Verify: func(_ context.Context, token string) (session.Claims, error) {
			return session.Claims{Name: token, Credential: session.NewCredential(token)}, nil
		},
		Entry:    func(string) (session.Claims, bool) { return session.Claims{}, false },
		Provider: noProvider{},
	})
	Expect(err).NotTo(HaveOccurred())
	return pages
}

// noProvider signs nobody in: only its routes are wanted.
type noProvider struct{}

func (noProvider) Name() string { return "nobody" }

func (noProvider) Begin(http.ResponseWriter, *http.Request, string) (string, error) {
	return "", errors.New("not here")
}

func (noProvider) End(http.ResponseWriter, *http.Request) (session.Claims, string, error) {
	return session.Claims{}, "", web.ErrNotBegun
}

// visitor is a browser in which a user has signed in.
type visitor struct {
	pages   http.Handler
	cookies map[string]string
	token   string // of forms
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

func visit(pages http.Handler, user string) *visitor {
	GinkgoHelper()
	v := &visitor{pages: pages, cookies: map[string]string{}}
	v.remember(v.do(http.MethodGet, "/sign-in", ""))
	signedIn := v.post("/sign-in/token", url.Values{"token": {user}})
	Expect(signedIn.Code).To(Equal(http.StatusSeeOther), signedIn.Body.String())
	v.remember(v.get("/"))
	return v
}

func (v *visitor) remember(page *httptest.ResponseRecorder) {
	GinkgoHelper()
	found := tokenField.FindStringSubmatch(page.Body.String())
	Expect(found).NotTo(BeNil(), page.Body.String())
	v.token = found[1]
}

func (v *visitor) do(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, origin+path, strings.NewReader(body))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	w := httptest.NewRecorder()
	v.pages.ServeHTTP(&leaving{w, leave}, r.WithContext(ctx))
	for _, set := range w.Result().Cookies() {
		if v.cookies[set.Name] = set.Value; set.MaxAge < 0 {
			delete(v.cookies, set.Name)
		}
	}
	return w
}

// get returns a page, and follows the redirect by which its Group is chosen.
func (v *visitor) get(path string) *httptest.ResponseRecorder {
	w := v.do(http.MethodGet, path, "")
	if w.Code == http.StatusSeeOther && w.Header().Get("Location") == path {
		w = v.do(http.MethodGet, path, "")
	}
	return w
}

// post sends a form with the token of the session, whether a page has that form or not.
func (v *visitor) post(path string, form url.Values) *httptest.ResponseRecorder {
	sent := url.Values{csrf.Field: {v.token}}
	for name, values := range form {
		sent[name] = values
	}
	return v.do(http.MethodPost, path, sent.Encode())
}

// leaving leaves a page that does not end, such as a stream, after its first event.
type leaving struct {
	*httptest.ResponseRecorder
	leave context.CancelFunc
}

// Flush implements http.Flusher.
func (l *leaving) Flush() {
	if strings.Contains(l.Body.String(), "data: ") {
		l.leave()
	}
}
