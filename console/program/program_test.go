package program_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
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
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/options"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/program"
	"github.com/keyward-dev/keyward/console/web"
)

// desk has no Groups.
type desk struct{ web.Desk }

func (desk) Groups(context.Context, web.ListQuery) (page.Groups, error) { return page.Groups{}, nil }

// cluster is an API server with one person.
func cluster(t *testing.T) (config options.Config, up *atomic.Bool) {
	t.Helper()
	up = &atomic.Bool{}
	up.Store(true)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !up.Load():
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/readyz":
			if r.Header.Get("Authorization") != "" {
				t.Error("readiness has a credential")
			}
			w.WriteHeader(http.StatusForbidden) // to tell nobody
		case r.Header.Get("Authorization") != "Bearer of-ada":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(authenticationv1.SelfSubjectReview{
				TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectReview", APIVersion: "authentication.k8s.io/v1"},
				Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: "ada"}}})
		}
	}))
	t.Cleanup(api.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": ca, "keys/20261127T120000Z": make([]byte, keyring.Bytes)} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return options.Config{
		Address: "127.0.0.1:0", HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", KeysDir: filepath.Join(dir, "keys"), BehindProxy: true,
		Origin: "https://console.example", APIServer: api.URL, APIServerCAFile: filepath.Join(dir, "ca.crt"),
	}, up
}

func start(t *testing.T, config options.Config) (*program.Server, func()) {
	t.Helper()
	s, err := program.New(config, func(*person.Person) (web.Desk, error) { return desk{}, nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	end := func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return s, end
}

func get(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, r)
}

func do(t *testing.T, client *http.Client, r *http.Request) (int, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestServes signs in over TLS as a browser does, and reads what operators read.
func TestServes(t *testing.T) {
	t.Parallel()
	config, _ := cluster(t)
	other := httptest.NewTLSServer(nil) // for its certificate, which is of 127.0.0.1
	t.Cleanup(other.Close)
	dir := t.TempDir()
	key := testKey(t, other.TLS.Certificates[0])
	config.BehindProxy, config.TLSCertFile, config.TLSKeyFile = false, filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	if err := errors.Join(os.WriteFile(config.TLSCertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw}), 0o600),
		os.WriteFile(config.TLSKeyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, end := start(t, config)
	at, client := s.Addresses(), other.Client()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	origin := "https://" + at.Pages.String()
	status, body := get(t, client, origin+"/sign-in")
	token := regexp.MustCompile(`name="csrf" value="([^"]*)"`).FindStringSubmatch(body)
	if status != http.StatusOK || token == nil {
		t.Fatalf("%d %s", status, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+"/sign-in/token",
		strings.NewReader(url.Values{"csrf": {token[1]}, "token": {"of-ada"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if status, body := do(t, client, r); status != http.StatusOK || !strings.Contains(body, "ada") || !strings.Contains(body, "No Groups yet") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(t, http.DefaultClient, "http://"+at.Health.String()+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %s", status, body)
	}
	status, body = get(t, http.DefaultClient, "http://"+at.Metrics.String()+"/metrics")
	if status != http.StatusOK || !strings.Contains(body, `keyward_console_requests_total{class="2xx",route="/{$}"} 1`) ||
		!strings.Contains(body, "keyward_build_info") {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, _ := get(t, client, origin+"/metrics"); status != http.StatusNotFound {
		t.Errorf("the pages serve metrics: %d", status)
	}
	client.CloseIdleConnections()
	end()
}

func testKey(t *testing.T, of tls.Certificate) []byte {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(of.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	config, up := cluster(t)
	up.Store(false)
	s, end := start(t, config)
	defer end()
	health := "http://" + s.Addresses().Health.String()
	if status, body := get(t, http.DefaultClient, health+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "not ready: 500") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get(t, http.DefaultClient, health+"/healthz"); status != http.StatusOK {
		t.Errorf("it would be restarted: %d", status)
	}
}

func TestWhatCannotWorkFailsAtTheStart(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*options.Config){
		"--keys-dir":           func(c *options.Config) { c.KeysDir = filepath.Dir(c.KeysDir) },
		"--api-server-ca-file": func(c *options.Config) { c.APIServerCAFile += "x" },
		"--listen":             func(c *options.Config) { c.Address = "256.0.0.1:1" },
		"--health-listen":      func(c *options.Config) { c.HealthAddress = "256.0.0.1:1" },
		"--metrics-listen":     func(c *options.Config) { c.MetricsAddress = "256.0.0.1:1" },
		"--tls-cert":           func(c *options.Config) { c.TLSCertFile = "nowhere" },
		"--config: reading":    func(c *options.Config) { c.File = "nowhere" },
		"oidc.issuer: Invalid": func(c *options.Config) { c.File = file(t, "http://127.0.0.1:1", "passToken: {}") },
		"oidc.caFile: open":    func(c *options.Config) { c.File = file(t, "https://127.0.0.1:1", "passToken: {}", "caFile: /nowhere") },
	} {
		config, _ := cluster(t)
		change(&config)
		if _, err := program.New(config, func(*person.Person) (web.Desk, error) { return desk{}, nil }, slog.New(slog.DiscardHandler)); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// file is one with a provider.
func file(t *testing.T, issuer string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "console.yaml")
	text := "apiVersion: config.keyward.dev/v1alpha1\nkind: ConsoleConfiguration\noidc:\n  name: Example\n  clientID: keyward\n  issuer: " + issuer + "\n  " +
		strings.Join(lines, "\n  ") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestStartsWithoutTheProvider: who has a token can sign in also while the provider is down.
func TestStartsWithoutTheProvider(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"passToken: {}", "impersonate: {groups: claims.groups, prefix: 'oidc:', allowedGroups: ['oidc:team-a']}"} {
		config, _ := cluster(t)
		config.File = file(t, "https://127.0.0.1:1", how)
		s, end := start(t, config)
		pages := "http://" + s.Addresses().Pages.String()
		status, body := get(t, http.DefaultClient, pages+"/sign-in")
		if status != http.StatusOK || !strings.Contains(body, "Continue with Example") || !strings.Contains(body, `action="/sign-in/token"`) {
			t.Errorf("%d %s", status, body)
		}
		if status, body := get(t, http.DefaultClient, pages+"/sign-in/callback?code=a&state=b"); status != http.StatusBadRequest {
			t.Errorf("%d %s", status, body)
		}
		http.DefaultClient.CloseIdleConnections()
		end()
	}
}
