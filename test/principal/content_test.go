package content

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
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

func startKeyward(t testing.TB) *keyward {
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

// contentServer is one that verifies principals.
type contentServer interface {
	// verify returns the Group of a request with these lines, or why it is refused.
	verify(t testing.TB, lines []string) (group string, err error)
	// pass lets time pass, and now is what time it is then.
	pass(t testing.TB, d time.Duration)
	now() time.Time
}

// contentServers start one in each language.
var contentServers = map[string]func(t testing.TB, keys string) contentServer{"Go": startGo, "JavaScript": startJavaScript}

// inGo is one in Go. Its keys get older instead of its clock being moved.
type inGo struct{ verifier *Verifier }

func startGo(_ testing.TB, keys string) contentServer { return inGo{&Verifier{Keys: keys}} }

func (g inGo) verify(t testing.TB, lines []string) (string, error) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header["X-Keyward-Principal"] = lines
	got, err := g.verifier.Verify(r)
	if err != nil {
		return "", err
	}
	return got.Group, nil
}

func (g inGo) pass(_ testing.TB, d time.Duration) {
	g.verifier.read, g.verifier.tried = g.verifier.read.Add(-d), g.verifier.tried.Add(-d)
}

func (g inGo) now() time.Time { return time.Now() }

// inJavaScript is one in Node.js.
type inJavaScript struct {
	url    string
	passed time.Duration
}

func startJavaScript(t testing.TB, keys string) contentServer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	command := exec.Command(node, "harness.mjs", keys)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if stderr.Len() > 0 {
			t.Errorf("%s", &stderr)
		}
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &inJavaScript{url: "http://127.0.0.1:" + strings.TrimSpace(port)}
}

func (j *inJavaScript) do(t testing.TB, method, body string, lines []string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, j.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["X-Keyward-Principal"] = lines
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (j *inJavaScript) verify(t testing.TB, lines []string) (string, error) {
	var got struct {
		Claims *Principal
		Error  string
	}
	if err := json.Unmarshal(j.do(t, http.MethodGet, "", lines), &got); err != nil {
		t.Error(err)
	}
	if got.Claims == nil {
		return "", errors.New(got.Error)
	}
	return got.Claims.Group, nil
}

func (j *inJavaScript) pass(t testing.TB, d time.Duration) {
	j.passed += d
	j.do(t, http.MethodPost, strconv.FormatInt(d.Milliseconds(), 10), nil)
}

func (j *inJavaScript) now() time.Time { return time.Now().Add(j.passed) }

// TestContentServers: nothing but what Keyward has signed is believed.
func TestContentServers(t *testing.T) {
	for language, start := range contentServers {
		t.Run(language, func(t *testing.T) {
			k := startKeyward(t)
			server := start(t, k.url)
			for _, c := range k.requests() {
				t.Run(c.name, func(t *testing.T) {
					group, err := server.verify(t, c.lines)
					if (err == nil) != (c.group != "") || group != c.group {
						t.Errorf("%s, %v", group, err)
					}
				})
			}
		})
	}
}

// TestClaims: the example in Go reads all that there is.
func TestClaims(t *testing.T) {
	k := startKeyward(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Keyward-Principal", k.principal(time.Now()))
	got, err := (&Verifier{Keys: k.url}).Verify(r)
	if err != nil || got.Subject != "k1" || got.ID != "request-1" || got.Project != "marketing" || got.Context["bucketName"] != "acme-media" ||
		len(got.Permissions) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
