package conformance

import (
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store"
)

// TestSignedURLsLiveAsLongAsTheySay asks through every integration, around the instants at which a URL and its key end: a signed URL
// is good exactly until it expires, and its key is not refused earlier.
func TestSignedURLsLiveAsLongAsTheySay(t *testing.T) {
	key, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := urltoken.Derive(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	log, clock := slog.New(slog.DiscardHandler), atomic.Int64{}
	s, err := store.Open(store.Config{MaxStaleness: time.Hour}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	opened := inBothPositions(t, authorizer.New(s, func() time.Time { return time.UnixMilli(clock.Load()) }, log, prometheus.NewRegistry()))
	names := slices.Sorted(maps.Keys(opened))
	revision := uint64(0)
	publish := func(rt *rapid.T, update *syncv1.Update) {
		revision++
		update.Revision, update.CaughtUp = revision, true
		if err := s.Apply(update); err != nil {
			rt.Fatal(err)
		}
	}
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		expires := now.Add(rapid.SampledFrom([]time.Duration{0, time.Minute, urltoken.MaxLifetime}).Draw(rt, "lifetime"))
		token, err := urltoken.Sign(key.Reveal(), urltoken.Claims{Project: "default", Path: "/", Expires: expires})
		if err != nil {
			rt.Fatal(err)
		}
		byKey := testRequest{method: usualMethod, host: usualHost, target: usualTarget, lines: []string{"X-Api-Key: " + key.Reveal()}}
		byURL := testRequest{method: usualMethod, host: usualHost, target: usualTarget + "?" + urltoken.Parameter + "=" + token,
			arrives: usualTarget, secrets: []string{urltoken.Parameter}}
		// Within some milliseconds everything begins or ends, in any order.
		around := func(of time.Time) time.Time {
			return of.Add(time.Duration(rapid.Int64Range(-3, 3).Draw(rt, "ms")) * time.Millisecond)
		}
		for _, end := range endings {
			update := soleSigner(key, secret)
			end(update.GetGroups()[0], update.GetKeys()[0], func() int64 { return around(expires).UnixMilli() })
			publish(rt, update)
			at := around(rapid.SampledFrom([]time.Time{expires, expires.Add(-urltoken.MaxLifetime)}).Draw(rt, "begin or end"))
			clock.Store(at.UnixMilli())
			s.Contact(at)
			name := rapid.SampledFrom(names).Draw(rt, "integration")
			want := opened[name](t, byKey).code
			switch ends := want == decision.KeyRevoked.String() || want == decision.KeyExpired.String() || want == decision.KeyRetired.String(); {
			case ends: // the same is said of its URLs
			case !at.Before(expires):
				want = decision.URLExpired.String()
			case want == decision.Allowed.String() && expires.Sub(at) > urltoken.MaxLifetime:
				want = decision.URLDenied.String()
			}
			if got := opened[name](t, byURL).code; got != want {
				rt.Fatalf("%s: %s before the URL expires, and with %v, the URL is %s instead of %s", name, expires.Sub(at), update, got, want)
			}
			seen[want]++
		}
		update := soleSigner(key, nil)
		publish(rt, update)
		name := rapid.SampledFrom(names).Draw(rt, "integration")
		if got := opened[name](t, byURL).code; got != decision.URLInvalid.String() {
			rt.Fatalf("%s: the key no longer signs, and the URL is %s", name, got)
		}
	})
	for _, code := range []decision.Code{decision.Allowed, decision.URLExpired, decision.URLDenied, decision.KeyRevoked, decision.KeyExpired,
		decision.KeyRetired, decision.KeySuspended, decision.GroupFrozen} {
		if seen[code.String()] == 0 {
			t.Errorf("no request was %v", code)
		}
	}
	t.Logf("%v", seen)
}

// endings are the ways in which a key may be over, or is not.
var endings = []func(group *syncv1.Group, key *syncv1.Key, instant func() int64){
	func(*syncv1.Group, *syncv1.Key, func() int64) {},
	func(_ *syncv1.Group, key *syncv1.Key, instant func() int64) { key.Versions[0].ExpiresAtMs = instant() },
	func(_ *syncv1.Group, key *syncv1.Key, instant func() int64) { key.Versions[0].RetiresAtMs = instant() },
	func(_ *syncv1.Group, key *syncv1.Key, instant func() int64) {
		key.Versions[0].ExpiresAtMs, key.Versions[0].RetiresAtMs = instant(), instant()
	},
	func(_ *syncv1.Group, key *syncv1.Key, _ func() int64) { key.Versions[0].Revoked = true },
	func(_ *syncv1.Group, key *syncv1.Key, _ func() int64) { key.Suspended = true },
	func(group *syncv1.Group, _ *syncv1.Key, _ func() int64) {
		group.State = syncv1.GroupState_GROUP_STATE_FROZEN
	},
}

// soleSigner is an update with the key alone, which signs URLs if there is a secret.
func soleSigner(key keyformat.Key, secret []byte) *syncv1.Update {
	digest := key.Digest()
	return &syncv1.Update{
		Groups: []*syncv1.Group{{Namespace: "tenants", Name: "solo", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: &syncv1.OriginPolicy{AllowMissing: true}}}}},
		Keys: []*syncv1.Key{{Id: "solo", Group: "tenants/solo", Projects: []string{"default"}, Permissions: []string{"read"},
			Versions: []*syncv1.Version{{Digest: digest[:], UrlSecret: secret}}}},
	}
}
