package keyinfo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/fixture"
)

// used notes that a key was used.
type used struct{ keys []string }

func (u *used) Used(keyID string, _ *decision.Group, _ *decision.Request, _ time.Time, _ bool, _ netip.Addr) {
	u.keys = append(u.keys, keyID)
}

func serve(t *testing.T, update *syncv1.Update, options ...authorizer.Option) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	New(fixture.Authorizer(t, update, options...), clientaddr.New(nil, clientaddr.HeaderXForwardedFor)).Register(mux)
	return mux
}

func get(h http.Handler, method, path string, lines ...string) *httptest.ResponseRecorder {
	recorder, r := httptest.NewRecorder(), httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i < len(lines); i += 2 {
		r.Header.Add(lines[i], lines[i+1])
	}
	h.ServeHTTP(recorder, r)
	return recorder
}

// rotated is a snapshot with a key whose first version is in its overlap.
func rotated(key, next keyformat.Key, ends time.Time) *syncv1.Update {
	update := fixture.Update(key)
	digest := next.Digest()
	k := update.GetKeys()[0]
	k.Rate = &syncv1.RateLimit{PerSecond: 5, Burst: 10}
	k.Versions[0].RetiresAtMs, k.Versions[0].ExpiresAtMs = ends.UnixMilli(), ends.Add(time.Hour).UnixMilli()
	k.Versions = append(k.Versions, &syncv1.Version{Digest: digest[:]})
	update.GetGroups()[0].Projects[0].Origins.Patterns = []string{"https://acme.example"}
	update.GetGroups()[0].AcceptIn = []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL}
	update.GetGroups()[0].DisplayName, update.GetGroups()[0].Tier = "A Tenant", "Pro"
	return update
}

func TestKeyInfo(t *testing.T) {
	key, next, ends := fixture.Mint(t), fixture.Mint(t), time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	meter := &used{}
	h := serve(t, rotated(key, next, ends), authorizer.WithRates(ratelimit.New(time.Now)), authorizer.WithMeter(meter))
	for _, path := range []string{adminv1.KeyPath, adminv1.KeyWellKnownPath} {
		got := get(h, "GET", path, "Authorization", "Bearer "+key.Reveal())
		var info adminv1.KeyInfo
		if err := json.Unmarshal(got.Body.Bytes(), &info); err != nil || got.Code != 200 {
			t.Fatalf("%s: %d %s", path, got.Code, got.Body)
		}
		if info.ID != "k1" || info.Preview != key.Preview() || !slices.Equal(info.Projects, []string{"default"}) ||
			!slices.Equal(info.Permissions, []string{"read"}) || !info.RetiresAt.Equal(ends) || !info.ExpiresAt.Equal(ends.Add(time.Hour)) ||
			info.Hint == "" || len(info.Limits) != 1 || info.Limits[0].Policy != "key" || info.Limits[0].Burst != 10 || info.Limits[0].Left > 9 {
			t.Errorf("%s: %s", path, got.Body)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "Sunset": ends.Format(http.TimeFormat), "Content-Type": "application/json",
			"Vary": "Authorization, X-Api-Key, Origin, Referer, Sec-Fetch-Site", "Access-Control-Allow-Origin": ""} {
			if got.Header().Get(name) != want {
				t.Errorf("%s: %s: %q, want %q", path, name, got.Header().Get(name), want)
			}
		}
		if !strings.HasPrefix(got.Header().Get("Deprecation"), "@") || got.Header().Get("Ratelimit") == "" || got.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", path, got.Header())
		}
		for _, others := range []string{"tenants", "acme", "Tenant", "Pro", key.Reveal(), next.Preview()} {
			if strings.Contains(got.Body.String(), others) {
				t.Errorf("%s: the holder learns %s: %s", path, others, got.Body)
			}
		}
	}
	current := get(h, "GET", adminv1.KeyPath, "X-Api-Key", next.Reveal(), "Origin", "https://acme.example")
	if body := current.Body.String(); current.Code != 200 || strings.Contains(body, "retiresAt") || strings.Contains(body, "hint") ||
		strings.Contains(body, "expiresAt") || current.Header().Get("Sunset") != "" || !strings.Contains(body, next.Preview()) ||
		current.Header().Get("Access-Control-Allow-Origin") != "https://acme.example" {
		t.Errorf("the newer version: %d %v %s", current.Code, current.Header(), body)
	}
	if head := get(h, "HEAD", adminv1.KeyPath, "X-Api-Key", next.Reveal()); head.Code != 200 {
		t.Errorf("HEAD: %d", head.Code)
	}
	page := get(h, "GET", adminv1.KeyPath, "Sec-WebSocket-Protocol", "keyward.key."+next.Reveal())
	if page.Code != 200 || !strings.Contains(page.Body.String(), next.Preview()) {
		t.Errorf("a key among the subprotocols: %d %s", page.Code, page.Body)
	}
	preflight := get(h, "OPTIONS", adminv1.KeyWellKnownPath, "Origin", "https://acme.example", "Access-Control-Request-Method", "GET",
		"Access-Control-Request-Headers", "authorization")
	if preflight.Code != 204 || preflight.Header().Get("Access-Control-Allow-Origin") != "https://acme.example" {
		t.Errorf("preflight: %d %v", preflight.Code, preflight.Header())
	}
	if len(meter.keys) > 0 {
		t.Errorf("asking counts as use: %v", meter.keys)
	}
}

// TestKeyInfoIsForHolders: who has no valid key learns nothing, and is throttled.
func TestKeyInfoIsForHolders(t *testing.T) {
	key := fixture.Mint(t)
	h := serve(t, rotated(key, fixture.Mint(t), time.Now().Add(time.Hour)),
		authorizer.WithThrottle(throttle.New(throttle.Config{Failures: 5, IPv6Prefix: 64})))
	for _, c := range []struct {
		method string
		lines  []string
		code   int
		says   string
	}{
		{"GET", nil, 401, "key_missing"},
		{"GET", []string{"X-Api-Key", "no key"}, 401, "key_malformed"},
		{"GET", []string{"X-Api-Key", fixture.Mint(t).Reveal()}, 401, "key_unknown"},
		{"GET", []string{"X-Api-Key", key.Reveal(), "Origin", "https://evil.example"}, 403, "origin_denied"},
		{"POST", []string{"X-Api-Key", key.Reveal()}, 405, "Method Not Allowed"},
		{"OPTIONS", nil, 405, "method_unknown"},
		{"GET", nil, 401, "key_missing"},
		{"GET", []string{"X-Api-Key", fixture.Mint(t).Reveal()}, 429, "too_many_failures"},
		{"GET", []string{"X-Api-Key", key.Reveal()}, 200, `"id":"k1"`},
	} {
		got := get(h, c.method, adminv1.KeyPath, c.lines...)
		if got.Code != c.code || !strings.Contains(got.Body.String(), c.says) {
			t.Errorf("%s %d: %d %s", c.method, len(c.lines), got.Code, got.Body)
		}
		if c.code != 200 && strings.Contains(got.Body.String(), "projects") {
			t.Errorf("it says too much: %s", got.Body)
		}
	}
}

// TestQuotaOfKey: the holder learns the quota of the key, what is left and until when; and asking spends none of it.
func TestQuotaOfKey(t *testing.T) {
	key := fixture.Mint(t)
	update := fixture.Update(key)
	update.GetKeys()[0].Quota = true
	quotas := quota.New(prometheus.NewRegistry())
	h := serve(t, update, authorizer.WithQuota(quotas))
	ask := func() *adminv1.KeyQuota {
		got, info := get(h, "GET", adminv1.KeyPath, "X-Api-Key", key.Reveal()), adminv1.KeyInfo{}
		if err := json.Unmarshal(got.Body.Bytes(), &info); err != nil || got.Code != 200 || info.Quota == nil {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		return info.Quota
	}
	span := quotaledger.Schedule{}.At(time.Now())
	if is := ask(); is.Requests != nil || is.Left != nil || is.ResetsAt.Before(time.Now()) {
		t.Errorf("before the manager has said anything: %+v", is)
	}
	quotas.Allow(&syncv1.Allowances{NowMs: time.Now().UnixMilli(), Groups: []*syncv1.Allowance{{
		Group: "tenants/acme", Key: "k1", Period: span.String(), Leased: 5, Sequence: 1,
		Whole: &syncv1.WholeQuota{Requests: 10_000, Used: 9_000},
	}}}, time.Now())
	for range 2 {
		if is := ask(); is.Requests == nil || *is.Requests != 10_000 || *is.Left != 1_000 {
			t.Errorf("%+v", is)
		}
	}
	for _, use := range quotas.Due(time.Now(), true) {
		if use.GetSpent() != 0 || use.GetRequests() != 0 {
			t.Errorf("asking counts as use: %v", use)
		}
	}
}

// TestInFront: the well-known path is answered in its one spelling, and everything else is the content server's.
func TestInFront(t *testing.T) {
	key := fixture.Mint(t)
	h := New(fixture.Authorizer(t, fixture.Update(key)), clientaddr.New(nil, clientaddr.HeaderXForwardedFor))
	front := h.InFront(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for path, want := range map[string]int{
		"/.well-known/keyward/key": 200, "/.well-known/keyward/key?x=1": 200, "/.well-known/keyward/key/": 418, "/v1/key": 418,
		"/%2ewell-known/keyward/key": 418, "/.well-known/keyward%2fkey": 418, "/.well-known/keyward/Key": 418, "/": 418,
	} {
		if got := get(front, "GET", path, "X-Api-Key", key.Reveal()); got.Code != want {
			t.Errorf("%s: %d, want %d", path, got.Code, want)
		}
	}
}
