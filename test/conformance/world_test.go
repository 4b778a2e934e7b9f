package conformance

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/store"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// keyring has the keys of the table by name.
type keyring map[string]keyformat.Key

// fill replaces {name} by the text of the key.
func (k keyring) fill(line string) string {
	for name, key := range k {
		line = strings.ReplaceAll(line, "{"+name+"}", key.Reveal())
		line = strings.ReplaceAll(line, "{basic "+name+"}", base64.StdEncoding.EncodeToString([]byte(key.Reveal()+":")))
	}
	return line
}

// snapshot makes keys, and the update of a manager that knows them.
func snapshot(t testing.TB) (keyring, *syncv1.Update) {
	t.Helper()
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	secret, err := keyformat.NewDigestSecret(random)
	if err != nil {
		t.Fatal(err)
	}
	keys, update := keyring{}, &syncv1.Update{Revision: 1, CaughtUp: true, Groups: groups(), DigestSecret: random}
	keep := func(name string, key keyformat.Key, err error) {
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
	}
	mint := func(name string) {
		key, err := keyformat.Mint("vctrl", rand.Reader)
		keep(name, key, err)
	}
	add := func(name, group string, projects, permissions []string) *syncv1.Key {
		if _, given := keys[name]; !given {
			mint(name)
		}
		digest := keys[name].Digest()
		if keys[name].IsForeign() {
			digest = secret.Keyed(digest)
		}
		key := &syncv1.Key{
			Id: "id-" + name, Group: group, Projects: projects, Permissions: permissions,
			Versions: []*syncv1.Version{{Digest: digest[:]}},
		}
		update.Keys = append(update.Keys, key)
		return key
	}
	const acme = "tenants/acme"
	marketing, read := []string{"marketing"}, []string{"read"}
	millis := now.UnixMilli()

	add("good", acme, marketing, read)
	add("both", acme, []string{"marketing", "product"}, []string{"read", "checkout"})
	add("archivist", acme, []string{"archive"}, read)
	add("reader", "tenants/docs", []string{"public"}, read)
	add("secretary", "tenants/docs", []string{"secret"}, read)
	add("browser", acme, []string{"web"}, read)
	add("revoked", acme, marketing, read).Versions[0].Revoked = true
	add("expired", acme, marketing, read).Versions[0].ExpiresAtMs = millis
	add("expiring", acme, marketing, read).Versions[0].ExpiresAtMs = millis + 1
	add("retired", acme, marketing, read).Versions[0].RetiresAtMs = millis
	add("retiring", acme, marketing, read).Versions[0].RetiresAtMs = millis + 1
	add("suspended", acme, marketing, read).Suspended = true
	add("frozen", "tenants/frozen", []string{"default"}, read)
	add("dormant", "tenants/dormant", []string{"default"}, read)
	add("solo", "tenants/solo", []string{"default"}, read)
	add("paced", paced, []string{"default"}, read).Rate = &syncv1.RateLimit{PerSecond: 2, Burst: 900}
	add("limited", acme, marketing, read).Quota = true
	addRestricted(add)
	addSigners(t, keys, add)
	add("told", acme, marketing, read).Context = map[string]string{"share": "60%", "plan": "trial"}
	add("embed", "tenants/embeds", []string{"default"}, read)
	mint("unknown")
	foreign, err := keyformat.Import("legacy/platform+" + rand.Text())
	keep("imported", foreign, err)
	add("imported", acme, marketing, read)
	foreign, err = keyformat.Import("legacy/platform+" + rand.Text())
	keep("another platform's", foreign, err)
	add("elsewhere", "tenants/elsewhere", []string{"default"}, read)
	return keys, update
}

func groups() []*syncv1.Group {
	path := func(paths ...string) []*syncv1.Route { return []*syncv1.Route{{Paths: paths}} }
	lenient := &syncv1.OriginPolicy{AllowLocalhost: true, AllowMissing: true}
	acme := &syncv1.Group{
		Namespace: "tenants", Name: "acme", DisplayName: "Acmé Inc", Tier: "Pro", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
		Projects: []*syncv1.Project{
			{Name: "archive", Origins: lenient},
			{Name: "marketing",
				Routes: []*syncv1.Route{
					{Paths: []string{"/api/scenes/mkt-*", "/tenant/checkout/**"}},
					{Paths: []string{"/api/list"}, Query: []*syncv1.QueryMatch{{Name: "siteId", Values: []string{"42"}}}},
				},
				Origins: &syncv1.OriginPolicy{Patterns: []string{"https://www.acme.example", "*.shops.acme.example",
					"https://app-*.acme.example", "capacitor://localhost"},
					AllowLocalhost: true, AllowMissing: true}},
			{Name: "product", Origins: lenient, Routes: []*syncv1.Route{{Paths: []string{"/api/scenes/prd-*"}},
				{Hosts: []string{"product.acme.example", "xn--mnchen-3ya.example"}}}},
			{Name: "web", Routes: path("/api/scenes/web-*"), Origins: &syncv1.OriginPolicy{Patterns: []string{"https://www.acme.example"}}},
		},
		Capabilities: []*syncv1.Capability{{Name: "checkout", Cost: proto.Uint32(5), Routes: []*syncv1.Route{{Methods: []string{"POST"},
			Paths: []string{"/tenant/checkout/sessions"}}}}},
		Context: map[string]string{"bucketName": "acme-media", "share": "50%"},

		SealedContext: map[string]string{"paymentKey": "v1.2026.c2VhbGVk"},
	}
	implicit := func(name string, state syncv1.GroupState) *syncv1.Group {
		return &syncv1.Group{Namespace: "tenants", Name: name, State: state,
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: lenient}}}
	}
	limited := implicit("paced", syncv1.GroupState_GROUP_STATE_ACTIVE)
	limited.Limits = &syncv1.Limits{Rate: &syncv1.RateLimit{PerSecond: 3, Burst: 3000}}
	located := implicit("located", syncv1.GroupState_GROUP_STATE_ACTIVE)
	located.RequireAddresses = true
	embeds := implicit("embeds", syncv1.GroupState_GROUP_STATE_ACTIVE)
	embeds.AcceptIn = []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_QUERY, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL}
	return []*syncv1.Group{
		embeds, acme, nested(path, lenient),
		implicit("frozen", syncv1.GroupState_GROUP_STATE_FROZEN),
		implicit("dormant", syncv1.GroupState_GROUP_STATE_SUSPENDED),
		implicit("solo", syncv1.GroupState_GROUP_STATE_ACTIVE),
		limited, located,
	}
}

// nested is a group with one project for everything, and others for parts of it.
func nested(path func(...string) []*syncv1.Route, lenient *syncv1.OriginPolicy) *syncv1.Group {
	site := []*syncv1.Route{{Paths: []string{"/docs/list"}, Query: []*syncv1.QueryMatch{{Name: "site", Values: []string{"1"}}}}}
	return &syncv1.Group{
		Namespace: "tenants", Name: "docs", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
		Projects: []*syncv1.Project{
			{Name: "public", Routes: path("/docs/**"), Origins: lenient},
			{Name: "secret", Routes: path("/docs/secret", "/docs/paper-*", "/docs/folder/"), Origins: lenient},
			{Name: "site", Routes: site, Origins: lenient},
		},
	}
}

// injectedFor returns what an upstream must see of a key.
func injectedFor(key, owner string) []string {
	if key == "" {
		return publicInjected(owner)
	}
	permissions := "read"
	if key == "both" || key == "signer of both" {
		permissions = "read,checkout"
	}
	lines := []string{"X-Keyward-Key-Id: id-" + key, "X-Keyward-Permissions: " + permissions, "X-Keyward-Project: " + owner}
	group := map[string]string{"solo": "solo", "located": "located", "paced": "paced", "reader": "docs", "secretary": "docs", "embed": "embeds"}[key]
	if group != "" {
		return append(lines, "X-Keyward-Group: tenants/"+group)
	}
	lines = append(lines, "X-Keyward-Group: tenants/acme", "X-Keyward-Group-Name: Acm%C3%A9 Inc", "X-Keyward-Tier: Pro",
		"X-Keyward-Context-Bucketname: acme-media", "X-Keyward-Sealed-Paymentkey: v1.2026.c2VhbGVk")
	if key == "told" {
		return append(lines, "X-Keyward-Context-Share: 60%", "X-Keyward-Context-Plan: trial")
	}
	return append(lines, "X-Keyward-Context-Share: 50%")
}

// newAuthorizer returns an authorizer on a store in the state of that world.
func newAuthorizer(t testing.TB, world string, update *syncv1.Update, options ...authorizer.Option) *authorizer.Authorizer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Config{MaxStaleness: time.Minute, DenyStale: true}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s.Contact(now)
	if world == worldStale {
		s.Contact(now.Add(-time.Hour))
	}
	if world != worldUnsynced {
		if err := s.Apply(update); err != nil {
			t.Fatal(err)
		}
	}
	if world == worldPublic {
		if err := s.Apply(&syncv1.Update{Revision: 2, Groups: publicGroups()}); err != nil {
			t.Fatal(err)
		}
		options = append(options, authorizer.WithPublic(flooded(), nil))
	}
	options = append(options, authorizer.WithKeys(credential.New(credential.Config{Parameters: []string{"token"},
		Headers: []string{otherKeyHeader}, Schemes: []string{"ApiKey"}})))
	if world == worldFailed {
		options = append(options, authorizer.WithThrottle(exhausted()))
	}
	switch world {
	case worldPaced, worldFast:
		options = append(options, authorizer.WithRates(paces(t, s, update, world == worldFast)))
	case worldSpent:
		options = append(options, authorizer.WithRates(paces(t, s, update, false)), authorizer.WithQuota(spent{}))
	case worldScarce:
		options = append(options, authorizer.WithQuota(scarce{}))
	case worldUnavailable:
		options = append(options, authorizer.WithQuota(unavailable{}))
	}
	return authorizer.New(s, func() time.Time { return now }, log, prometheus.NewRegistry(), options...)
}

// exhausted is a throttle that has counted too many failures of the failing clients.
func exhausted() *throttle.Throttle {
	const failures = 100 // more than there are integrations, some of which are asked twice
	t := throttle.New(throttle.Config{Failures: failures, IPv6Prefix: 64})
	for range failures {
		t.Fail(netip.MustParseAddr(failingIPv4), now)
		t.Fail(netip.MustParseAddr(failingIPv6), now)
	}
	return t
}
