package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

const jwksPath = "/.well-known/keyward/jwks.json"

// TestPrincipals: content servers get the public keys from the HTTP address without a credential, and verify with them what
// arrives through the reverse proxy.
func TestPrincipals(t *testing.T) {
	dir := t.TempDir()
	fixture.PrincipalKey(t, filepath.Join(dir, "2026-12-01.pem"))
	m, key := fakemanager.Start(t), fixture.Mint(t)
	arrived := make(chan http.Header, 1)
	content := upstream(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Header })
	v := start(t, configFor(t, m, "--upstream="+content, "--principal-key-file="+dir, "--principal-issuer=https://us.example",
		"--principal-audience=them"))
	m.Next().Send(catchUp(key))
	if status, header, text := do(t, "http://"+v.addresses.Proxy.String(), "Authorization", "Bearer "+key.Reveal()); status != http.StatusOK ||
		header.Get("X-Keyward-Principal") != "" {
		t.Fatalf("%d %v %s", status, header, text)
	}
	status, header, text := do(t, "http://"+v.addresses.HTTP.String()+jwksPath)
	if status != http.StatusOK || header.Get("Content-Type") != "application/jwk-set+json" || header.Get("Cache-Control") != "public, max-age=300" ||
		header.Get("X-Request-Id") == "" {
		t.Errorf("%d %v %s", status, header, text)
	}
	if strings.Contains(text, `"d"`) {
		t.Error("it publishes private keys")
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(text), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	seen := <-arrived
	token, err := jwt.ParseSigned(seen.Get("X-Keyward-Principal"), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := token.Claims(set, &claims); err != nil {
		t.Fatal(err)
	}
	expected := jwt.Expected{Issuer: "https://us.example", AnyAudience: jwt.Audience{"them"}, Subject: "k1", ID: seen.Get("X-Request-Id")}
	if err := claims.Validate(expected); err != nil {
		t.Errorf("%+v: %v", claims, err)
	}
	if logs := v.logs.String(); strings.Contains(logs, seen.Get("X-Keyward-Principal")) || strings.Contains(logs, "PRIVATE") {
		t.Error("the log has a principal or a key")
	}
}

// TestNoPrincipals: without a key there are neither principals nor keys.
func TestNoPrincipals(t *testing.T) {
	m, key := fakemanager.Start(t), fixture.Mint(t)
	arrived := make(chan http.Header, 1)
	v := start(t, configFor(t, m, "--upstream="+upstream(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Header })))
	m.Next().Send(catchUp(key))
	if status, _, text := do(t, "http://"+v.addresses.HTTP.String()+jwksPath); status != http.StatusNotFound || !strings.Contains(text, "path_unknown") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, text := do(t, "http://"+v.addresses.Proxy.String(), "Authorization", "Bearer "+key.Reveal(), "X-Keyward-Principal", "evil"); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if seen := <-arrived; len(seen["X-Keyward-Principal"]) > 0 {
		t.Errorf("the content server sees %v", seen)
	}
}

func TestUnusableKeysAtTheStart(t *testing.T) {
	m, file := fakemanager.Start(t), filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte("-----BEGIN RSA PRIVATE KEY-----\nMC4C\n-----END RSA PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(configFor(t, m, "--principal-key-file="+file), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--principal-key-file: key.pem has a block") {
		t.Errorf("%v", err)
	}
}
