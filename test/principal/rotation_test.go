package content

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/integrations/jwks"
	"github.com/keyward-dev/keyward/server/principal"
	"github.com/keyward-dev/keyward/test/fixture"
)

// How long content servers keep the keys, how often they read them for an unknown one, and how long a new key is published
// before it signs.
const (
	kept      = principal.MaxAge + time.Second
	bound     = 11 * time.Second
	published = 10 * time.Minute
)

// rotating is a validation server with a directory of keys, which counts how often they are read.
type rotating struct {
	*keyward

	dir     string
	clock   time.Time // of the signer
	reads   atomic.Int64
	offline atomic.Bool
}

func startRotating(t *testing.T) *rotating {
	t.Helper()
	r := &rotating{keyward: &keyward{TB: t}, dir: t.TempDir(), clock: time.Now()}
	r.private = fixture.PrincipalKey(t, filepath.Join(r.dir, "2026-12-01.pem"))
	config := principal.Config{Path: r.dir, Issuer: fixture.Issuer, Audience: fixture.Audience}
	var err error
	r.signer, err = principal.New(config, func() time.Time { return r.clock }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	jwks.Register(mux, r.signer)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.reads.Add(1)
		if r.offline.Load() {
			http.Error(w, "offline", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + adminv1.JWKSPath
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.signer.Set(), &set); err != nil {
		t.Fatal(err)
	}
	r.id = set.Keys[0].KeyID
	return r
}

// keyOf is the id of the key that has signed.
func (r *rotating) keyOf(token string) string {
	r.Helper()
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		r.Fatal(err)
	}
	return parsed.Signatures[0].Header.KeyID
}

// remove removes a key, which the signer notices.
func (r *rotating) remove(file string) {
	r.Helper()
	if err := os.Remove(filepath.Join(r.dir, file)); err != nil {
		r.Fatal(err)
	}
	r.after(0)
}

// forgeFirst signs with the first key, as somebody could who has stolen it.
func (r *rotating) forgeFirst(at time.Time) string {
	r.Helper()
	return r.forge(jose.SigningKey{Algorithm: jose.EdDSA, Key: r.private}, nil,
		map[string]any{"group": "tenants/acme", "iat": at.Unix(), "exp": at.Add(time.Minute).Unix()})
}

// after lets the signer read its keys again, some time later.
func (r *rotating) after(d time.Duration) {
	r.Helper()
	r.clock = r.clock.Add(d)
	if err := r.signer.Reload(); err != nil {
		r.Fatal(err)
	}
}

// expect compares how often the keys were read since the last time.
func (r *rotating) expect(reads int64) {
	r.Helper()
	if got := r.reads.Swap(0); got != reads {
		r.Errorf("the keys were read %d times instead of %d", got, reads)
	}
}

// strangers send many principals at once, signed with a key that nobody has published.
func (r *rotating) strangers(server contentServer) {
	r.Helper()
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	token := r.forge(jose.SigningKey{Algorithm: jose.EdDSA, Key: other}, map[string]any{"kid": "theirs"}, nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if group, err := server.verify(r, []string{token}); err == nil {
				r.Errorf("a stranger is %s", group)
			}
		})
	}
	all.Wait()
}

// TestRotation: content servers notice nothing of a rotation, refuse a key that was removed as soon as they may have noticed, and nobody
// can make them read the keys all the time.
func TestRotation(t *testing.T) {
	for language, start := range contentServers {
		t.Run(language, func(t *testing.T) {
			r := startRotating(t)
			server := start(t, r.url)
			accepted := func(token string) {
				t.Helper()
				if group, err := server.verify(t, []string{token}); group != "tenants/acme" {
					t.Errorf("%s, %v", group, err)
				}
			}
			refused := func(token string) {
				t.Helper()
				if group, err := server.verify(t, []string{token}); err == nil {
					t.Errorf("accepted for %s", group)
				}
			}
			sign := func() string { return r.principal(server.now()) }

			accepted(sign())
			accepted(sign())
			r.expect(1)

			// A stranger's key is looked for, but not again within the bound.
			r.strangers(server)
			r.expect(0)
			server.pass(t, bound)
			r.strangers(server)
			r.strangers(server)
			r.expect(1)
			accepted(sign())
			r.expect(0)

			// A second key is published, and then it signs. Who has read the keys meanwhile knows it already.
			second := filepath.Join(r.dir, "2027-01-01.pem")
			fixture.PrincipalKey(t, second)
			r.after(0)
			server.pass(t, kept)
			accepted(sign())
			r.expect(1)
			old := sign()
			r.after(published)
			if r.keyOf(old) != r.id || r.keyOf(sign()) == r.id {
				t.Fatal("the second key does not sign after the first one")
			}
			accepted(sign())
			accepted(old)
			r.expect(0)

			// The first one is removed: content servers keep it until they read the keys again.
			r.remove("2026-12-01.pem")
			accepted(sign())
			accepted(r.forgeFirst(server.now()))
			server.pass(t, kept)
			accepted(sign())
			r.expect(1)
			refused(r.forgeFirst(server.now()))
			r.expect(0)
			server.pass(t, bound)
			refused(r.forgeFirst(server.now()))
			accepted(sign())
			r.expect(1)

			// The second one is replaced, as if it had leaked: the third signs at once, and is looked for at once.
			fixture.PrincipalKey(t, filepath.Join(r.dir, "2027-02-01.pem"))
			r.remove("2027-01-01.pem")
			server.pass(t, bound)
			accepted(sign())
			r.expect(1)

			// While no keys can be read, those that are known are good for as long as they may be kept.
			r.offline.Store(true)
			server.pass(t, bound)
			r.strangers(server)
			r.expect(1)
			accepted(sign())
			server.pass(t, kept)
			refused(sign())
			refused(sign())
			r.expect(1)
			r.offline.Store(false)
			refused(sign())
			r.expect(0)
			server.pass(t, bound)
			accepted(sign())
			r.expect(1)
		})
	}
}
