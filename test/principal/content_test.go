package content

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/integrations/jwks"
	"github.com/keyward-dev/keyward/server/principal"
	"github.com/keyward-dev/keyward/test/fixture"
)

const howTo = "../../docs/how-to/principal.md"

// TestPageShowsTheExamples: what is verified here is what people copy.
func TestPageShowsTheExamples(t *testing.T) {
	page, err := os.ReadFile(howTo)
	if err != nil {
		t.Fatal(err)
	}
	for file, language := range map[string]string{"content.go": "go", "content.mjs": "js"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "\n```"+language+"\n"+string(text)+"```\n") {
			t.Errorf("%s does not show %s as it is", howTo, file)
		}
	}
}

// keyward is a validation server's part in it.
type keyward struct {
	testing.TB

	url     string
	private ed25519.PrivateKey
	signer  *principal.Signer
	id      string // of the key
}

func start(t testing.TB) *keyward {
	t.Helper()
	signer, private, published := fixture.Signer(t)
	k := &keyward{TB: t, private: private, signer: signer, id: published.Keys[0].KeyID}
	mux := http.NewServeMux()
	jwks.Register(mux, k.signer)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	k.url = server.URL + adminv1.JWKSPath
	return k
}

// principal returns the principal of a request as of now.
func (k *keyward) principal(at time.Time) string {
	d := decision.Decision{
		Key: decision.Key{ID: "k1", Scope: &decision.Scope{Permissions: []string{"read"}}},
		Group: &decision.Group{Identity: "tenants/acme", DisplayName: "Acmé Inc",
			Context: []decision.ContextValue{{Name: "bucketName", Value: "acme-media"}}},
		Project: &decision.Project{Name: "marketing"},
	}
	return k.signer.Sign(&d, "request-1", at)
}

// forge signs claims that are those of a principal except for changes, with headers that may be changed, too.
func (k *keyward) forge(key jose.SigningKey, headers, changes map[string]any) string {
	k.Helper()
	all := map[jose.HeaderKey]any{jose.HeaderType: "keyward-principal+jwt", "kid": k.id}
	for name, value := range headers {
		all[jose.HeaderKey(name)] = value
	}
	signer, err := jose.NewSigner(key, &jose.SignerOptions{ExtraHeaders: all})
	if err != nil {
		k.Fatal(err)
	}
	now := time.Now().Unix()
	said := map[string]any{"iss": "keyward.dev", "aud": "keyward.dev/content", "sub": "k1", "iat": now, "exp": now + 60, "jti": "r", "group": "tenants/evil"}
	maps.Copy(said, changes)
	payload, err := json.Marshal(said)
	if err != nil {
		k.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		k.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		k.Fatal(err)
	}
	return token
}

// request is what arrives at a content server.
type request struct {
	name  string
	lines []string
	group string // of the principal, "" if the request must be refused
}

// requests returns good ones, and everything that an attacker between the two could send instead.
func (k *keyward) requests() []request {
	k.Helper()
	good := k.principal(time.Now())
	parts := strings.Split(good, ".")
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		k.Fatal(err)
	}
	ours := jose.SigningKey{Algorithm: jose.EdDSA, Key: k.private}
	theirs := jose.SigningKey{Algorithm: jose.EdDSA, Key: other}
	public, _ := k.private.Public().(ed25519.PublicKey)
	shared := jose.SigningKey{Algorithm: jose.HS256, Key: []byte(public)}
	encode := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	evil := encode([]byte(`{"iss":"keyward.dev","aud":"keyward.dev/content","iat":` + "1,\"exp\":9999999999,\"group\":\"tenants/evil\"}"))
	return []request{
		{"as it is signed", []string{good}, "tenants/acme"},
		{"signed by another implementation", []string{k.forge(ours, nil, nil)}, "tenants/evil"},
		{"none", nil, ""},
		{"empty", []string{""}, ""},
		{"garbage", []string{"a.b.c"}, ""},
		{"two", []string{good, good}, ""},
		{"two on one line", []string{good + ", " + good}, ""},
		{"other claims", []string{parts[0] + "." + evil + "." + parts[2]}, ""},
		{"no signature", []string{parts[0] + "." + parts[1] + "."}, ""},
		{"half a signature", []string{good[:len(good)-43]}, ""},
		{"another signature", []string{parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))}, ""},
		{"the algorithm none", []string{encode([]byte(`{"alg":"none","kid":"`+k.id+`","typ":"keyward-principal+jwt"}`)) + "." + evil + "."}, ""},
		{"the public key as a shared secret", []string{k.forge(shared, nil, nil)}, ""},
		{"another key", []string{k.forge(theirs, nil, nil)}, ""},
		{"an unknown key", []string{k.forge(theirs, map[string]any{"kid": "theirs"}, nil)}, ""},
		{"a key that it brings itself", []string{k.forge(theirs, map[string]any{"jwk": jose.JSONWebKey{Key: other.Public()}}, nil)}, ""},
		{"another kind of JWT", []string{k.forge(ours, map[string]any{"typ": "JWT"}, nil)}, ""},
		{"for others", []string{k.forge(ours, nil, map[string]any{"aud": "keyward.dev/other"})}, ""},
		{"of others", []string{k.forge(ours, nil, map[string]any{"iss": "keyward.other"})}, ""},
		{"too old", []string{k.forge(ours, nil, map[string]any{"iat": now - 120, "exp": now - 60})}, ""},
		{"too new", []string{k.forge(ours, nil, map[string]any{"iat": now + 60, "exp": now + 120})}, ""},
	}
}

func TestContentServerInGo(t *testing.T) {
	k := start(t)
	verifier := &Verifier{Keys: k.url}
	for _, c := range k.requests() {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			r.Header["X-Keyward-Principal"] = c.lines
			got, err := verifier.Verify(r)
			if (err == nil) != (c.group != "") || err == nil && got.Group != c.group {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestContentServerInJavaScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	k := start(t)
	requests := k.requests()
	var input struct {
		URL      string     `json:"url"`
		Requests [][]string `json:"requests"`
	}
	input.URL = k.url
	for _, c := range requests {
		input.Requests = append(input.Requests, append([]string{}, c.lines...))
	}
	stdin, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), node, "harness.mjs")
	command.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var results []struct {
		Claims *Principal
		Error  string
	}
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(requests) {
		t.Fatalf("%s: %v", out, err)
	}
	for i, c := range requests {
		got := results[i]
		if (got.Claims != nil) != (c.group != "") || got.Claims != nil && got.Claims.Group != c.group {
			t.Errorf("%s: %+v, %s", c.name, got.Claims, got.Error)
		}
	}
}

// TestClaims: both examples read all that there is.
func TestClaims(t *testing.T) {
	k := start(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Keyward-Principal", k.principal(time.Now()))
	got, err := (&Verifier{Keys: k.url}).Verify(r)
	if err != nil || got.Subject != "k1" || got.ID != "request-1" || got.Project != "marketing" || got.Context["bucketName"] != "acme-media" ||
		len(got.Permissions) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
