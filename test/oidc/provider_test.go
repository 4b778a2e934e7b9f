package oidc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/console/options"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/program"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/hack/ports"
)

const secret = "s3cret-of-the-client"

// desk shows as whom it reaches the API server.
type desk struct {
	web.Desk
	of *person.Person
}

func (d desk) Groups(context.Context, web.ListQuery) (page.Groups, error) {
	config := d.of.Config()
	return page.Groups{Groups: []page.Group{{Name: "as " + config.Impersonate.UserName + " in " + strings.Join(config.Impersonate.Groups, " "),
		Href: "/groups/a/b"}}}, nil
}

// safeLog can be read while it is written.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// world is a console that serves TLS, with a provider and an API server.
type world struct {
	t              *testing.T
	origin, issuer string
	client         *http.Client // a browser of a person, which follows redirects
	log            *safeLog
	handed         []string // all that the browser had to hand on: codes, states, and tokens at the API server
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificate(of *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: of.Certificate().Raw})
}

// start starts a console whose people sign in as how says.
func start(t *testing.T, how string) *world {
	t.Helper()
	w := &world{t: t, log: &safeLog{}}
	var op http.Handler
	provider := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { op.ServeHTTP(rw, r) }))
	t.Cleanup(provider.Close)
	w.issuer = provider.URL
	api := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token == "" || r.URL.Path != "/apis/authentication.k8s.io/v1/selfsubjectreviews" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.handed = append(w.handed, token)
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(authenticationv1.SelfSubjectReview{
			TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectReview", APIVersion: "authentication.k8s.io/v1"},
			Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: w.issuer + "#id1"}}})
	}))
	t.Cleanup(api.Close)
	dir := t.TempDir()
	private, err := x509.MarshalPKCS8PrivateKey(api.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	address := free(t)
	w.origin = "https://" + address
	storage.RegisterClients(storage.WebClient("keyward", secret, w.origin+"/sign-in/callback"))
	op = exampleop.SetupServer(w.issuer, storage.NewStorage(storage.NewUserStore(w.issuer)), slog.New(slog.DiscardHandler), false)
	config := options.Config{
		Address: address, HealthAddress: "127.0.0.1:0", KeysDir: filepath.Join(dir, "keys"), Origin: w.origin, APIServer: api.URL,
		APIServerCAFile: write(t, dir, "api.crt", certificate(api)), TLSCertFile: write(t, dir, "tls.crt", certificate(api)),
		TLSKeyFile: write(t, dir, "tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
	write(t, dir, "keys/20261127T120000Z", make([]byte, 32))
	config.File = write(t, dir, "console.yaml", []byte("apiVersion: config.keyward.dev/v1alpha1\nkind: ConsoleConfiguration\noidc:\n  name: Zitadel\n"+
		"  issuer: "+w.issuer+"\n  clientID: keyward\n  scopes: [openid, profile, email]\n  clientSecretFile: "+write(t, dir, "secret", []byte(secret+"\n"))+
		"\n  caFile: "+write(t, dir, "op.crt", certificate(provider))+"\n  "+how+"\n"))
	console, err := program.New(config, func(of *person.Person) (web.Desk, error) { return desk{of: of}, nil }, slog.New(slog.NewJSONHandler(w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- console.Run(ctx) }()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(api.Certificate())
	roots.AddCert(provider.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	w.client = &http.Client{Jar: jar, Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// free is an address that nobody listens at: the provider has to know the console's before that starts.
func free(t *testing.T) string {
	t.Helper()
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// send sends a request as a browser does, and returns where it ended.
func (w *world) send(method, address string, form url.Values) (status int, at *url.URL, header http.Header, body string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", w.origin)
	}
	response, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"code", "state"} {
		if value := response.Request.URL.Query().Get(name); value != "" {
			w.handed = append(w.handed, value)
		}
	}
	return response.StatusCode, response.Request.URL, response.Header, string(text)
}

var (
	tokenField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)
	idField    = regexp.MustCompile(`name="id" value="([^"]*)"`)
)

func (w *world) find(in *regexp.Regexp, page string) string {
	w.t.Helper()
	found := in.FindStringSubmatch(page)
	if found == nil {
		w.t.Fatalf("the page lacks %s: %s", in, page)
	}
	return html.UnescapeString(found[1])
}

// signIn is what a person does: it returns the page where that ends.
func (w *world) signIn() (status int, at *url.URL, body string) {
	w.t.Helper()
	_, at, _, body = w.send(http.MethodGet, w.origin+"/", nil)
	if at.Path != "/sign-in" || !strings.Contains(body, "Continue with Zitadel") {
		w.t.Fatalf("%s %s", at, body)
	}
	_, _, header, body := w.send(http.MethodPost, w.origin+"/sign-in/oidc", url.Values{"csrf": {w.find(tokenField, body)}, "next": {"/"}})
	address, ok := strings.CutPrefix(header.Get("Refresh"), "0;url=")
	if !ok || !strings.HasPrefix(address, w.issuer+"/auth?") {
		w.t.Fatalf("%v %s", header, body)
	}
	status, at, _, body = w.send(http.MethodGet, address, nil)
	if status != http.StatusOK || at.Path != "/login/username" {
		w.t.Fatalf("%d %s %s", status, at, body)
	}
	status, at, _, body = w.send(http.MethodPost, w.issuer+"/login/username",
		url.Values{"username": {"test-user@127.0.0.1"}, "password": {"verysecure"}, "id": {w.find(idField, body)}})
	return status, at, body
}

func (w *world) nothingIsLogged() {
	w.t.Helper()
	log := w.log.String()
	if !strings.Contains(log, `"/sign-in/callback"`) {
		w.t.Errorf("the callback is not logged: %s", log)
	}
	for _, value := range append(w.handed, "test-user", secret) {
		if strings.Contains(log, value) {
			w.t.Errorf("the log has %q: %s", value, log)
		}
	}
}

func TestTheIDTokenIsPassed(t *testing.T) {
	w := start(t, "passToken: {}")
	status, at, body := w.signIn()
	if status != http.StatusOK || at.String() != w.origin+"/" || !strings.Contains(body, html.EscapeString(w.issuer+"#id1")) {
		t.Fatalf("%d %s %s", status, at, body)
	}
	if len(w.handed) == 0 || strings.Count(w.handed[len(w.handed)-1], ".") != 2 {
		t.Errorf("the API server got %q", w.handed)
	}
	w.nothingIsLogged()
}

func TestThePersonIsImpersonated(t *testing.T) {
	w := start(t, `impersonate: {name: claims.sub, groups: '["team-a", "system:masters"]', prefix: "zitadel:", allowedGroups: ["zitadel:team-a"]}`)
	status, at, body := w.signIn()
	if status != http.StatusOK || at.String() != w.origin+"/" || !strings.Contains(body, "as zitadel:id1 in zitadel:team-a<") {
		t.Fatalf("%d %s %s", status, at, body)
	}
	w.nothingIsLogged()
}

func TestWhoIsInNoGroupIsRefused(t *testing.T) {
	w := start(t, `impersonate: {name: claims.sub, groups: '["other"]', prefix: "zitadel:", allowedGroups: ["zitadel:team-a"]}`)
	status, _, body := w.signIn()
	if status != http.StatusUnauthorized || !strings.Contains(body, "in no group that may use this console") {
		t.Errorf("%d %s", status, body)
	}
	w.nothingIsLogged()
}

// TestACodeIsGoodOnce: a callback that was used, with the cookie that it had.
func TestACodeIsGoodOnce(t *testing.T) {
	w := start(t, "passToken: {}")
	var callback string
	w.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/sign-in/callback" {
			callback = r.URL.String()
		}
		return nil
	}
	if status, at, _ := w.signIn(); status != http.StatusOK || at.Path != "/" {
		t.Fatalf("%d %s", status, at)
	}
	status, _, _, body := w.send(http.MethodGet, callback, nil)
	if status != http.StatusBadRequest || !strings.Contains(body, "Begin again.") {
		t.Errorf("%d %s", status, body)
	}
}
