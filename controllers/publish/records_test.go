package publish_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/grant"
)

// TestRateRecords: published rate limits are complete, and are the resolved ones.
func TestRateRecords(t *testing.T) {
	limit := func(perSecond, burst int32) (limit v1alpha1.RateLimit) {
		if perSecond > 0 {
			limit.RequestsPerSecond = &perSecond
		}
		if burst > 0 {
			limit.Burst = &burst
		}
		return limit
	}
	for _, c := range []struct {
		name           string
		spec, resolved v1alpha1.RateLimit
		want           *syncv1.RateLimit
		key            *syncv1.RateLimit // if spec is the one of a key
	}{
		{"none", limit(0, 0), limit(0, 0), nil, nil},
		{"a rate", limit(10, 0), limit(10, 0), &syncv1.RateLimit{PerSecond: 10, Burst: 10}, &syncv1.RateLimit{PerSecond: 10, Burst: 10}},
		{"a rate and a burst", limit(10, 1), limit(10, 1), &syncv1.RateLimit{PerSecond: 10, Burst: 1},
			&syncv1.RateLimit{PerSecond: 10, Burst: 1}},
		{"a burst alone", limit(0, 5), limit(0, 5), nil, nil},
		{"a burst, and the tier's rate", limit(0, 5), limit(10, 5), &syncv1.RateLimit{PerSecond: 10, Burst: 5}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			group := &v1alpha1.Group{}
			group.Spec.Limits.RateLimit = c.spec
			group.Status.Limits = &v1alpha1.GroupLimits{Limits: v1alpha1.Limits{RateLimit: c.resolved}}
			limits := publish.GroupRecord(group, nil).GetLimits()
			if got := limits.GetRate(); !proto.Equal(got, c.want) || (limits == nil) != (c.want == nil) ||
				limits.GetOverage() != syncv1.Overage_OVERAGE_UNSPECIFIED {
				t.Errorf("the limits are %v", limits)
			}
			key := &v1alpha1.ApiKey{}
			key.Spec.Limits.RateLimit = c.spec
			key.Status.Versions = []v1alpha1.KeyVersion{{}}
			if got := publish.KeyRecord(key, grant.Whole(key)).GetRate(); !proto.Equal(got, c.key) {
				t.Errorf("the key's rate is %v", got)
			}
		})
	}
}

// TestQuotasOfKeys: that a key has a quota of its own is published, also if it is 0, and not how much.
func TestQuotasOfKeys(t *testing.T) {
	record := func(requests *int64) *syncv1.Key {
		key := &v1alpha1.ApiKey{}
		key.Status.Versions = []v1alpha1.KeyVersion{{}}
		key.Spec.Limits.RequestsPerMonth = requests
		return publish.KeyRecord(key, grant.Whole(key))
	}
	if none, zero, some := record(nil), record(new(int64(0))), record(new(int64(7))); none.GetQuota() || !zero.GetQuota() || !proto.Equal(zero, some) {
		t.Errorf("published are %v, %v and %v", none, zero, some)
	}
}

// TestClientsAreNeverWider: clients and addresses are published as declared, in one form, and a value that is not known is not
// taken for any client. A Group that requires addresses says so.
func TestClientsAreNeverWider(t *testing.T) {
	for declared, want := range map[v1alpha1.Clients]syncv1.Clients{
		"": syncv1.Clients_CLIENTS_UNSPECIFIED, v1alpha1.ClientsAny: syncv1.Clients_CLIENTS_UNSPECIFIED,
		v1alpha1.ClientsBrowser: syncv1.Clients_CLIENTS_BROWSER, v1alpha1.ClientsServer: syncv1.Clients_CLIENTS_SERVER,
		"Human": syncv1.Clients_CLIENTS_SERVER,
	} {
		key := &v1alpha1.ApiKey{}
		key.Status.Versions = []v1alpha1.KeyVersion{{}}
		key.Spec.Clients, key.Spec.Addresses = declared, []v1alpha1.AddressPrefix{"2001:DB8::/32", "192.0.2.0/24", "192.0.2.9/24"}
		record := publish.KeyRecord(key, grant.Whole(key))
		if got := record.GetAddresses(); record.GetClients() != want || fmt.Sprint(got) != "[192.0.2.0/24 2001:db8::/32]" {
			t.Errorf("%q is published as %v, %v", declared, record.GetClients(), got)
		}
	}
	for _, required := range []bool{false, true} {
		group := &v1alpha1.Group{}
		group.Spec.KeyPolicy.RequireAddresses = &required
		if got := publish.GroupRecord(group, nil).GetRequireAddresses(); got != required {
			t.Errorf("required %t is published as %t", required, got)
		}
	}
}

// TestCachingIsSharedWhereDeclared: and nowhere else.
func TestCachingIsSharedWhereDeclared(t *testing.T) {
	for declared, want := range map[v1alpha1.Caching]syncv1.Caching{
		"": syncv1.Caching_CACHING_UNSPECIFIED, v1alpha1.CachingPrivate: syncv1.Caching_CACHING_UNSPECIFIED,
		v1alpha1.CachingShared: syncv1.Caching_CACHING_SHARED, "Public": syncv1.Caching_CACHING_UNSPECIFIED,
	} {
		group := &v1alpha1.Group{}
		group.Spec.Caching = declared
		if got := publish.GroupRecord(group, nil).GetCaching(); got != want {
			t.Errorf("%q is %v", declared, got)
		}
	}
}

// TestRecordsOfKeysThatAreGrantedAPart: a key that was delivered is published with what is granted of it, and with its versions
// as they are; one that was not is not published.
func TestRecordsOfKeysThatAreGrantedAPart(t *testing.T) {
	instant := &metav1.Time{Time: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	digest := "sha256:" + strings.Repeat("ab", 32)
	version := func(state v1alpha1.VersionState, deliveredAt *metav1.Time) v1alpha1.KeyVersion {
		return v1alpha1.KeyVersion{ID: 1, State: state, Digest: digest, DeliveredAt: deliveredAt, ExpiresAt: instant}
	}
	delivered, pending := version(v1alpha1.VersionActive, instant), version(v1alpha1.VersionPending, nil)
	type versions []v1alpha1.KeyVersion
	for name, c := range map[string]struct {
		projects    string
		permissions string
		versions
		suspended bool
		context   map[string]v1alpha1.ContextValue
		group     func(*v1alpha1.Group)
		want      string // projects; permissions; context, if there is any; empty if it is not published
	}{
		"all":                   {projects: "a b", permissions: "read order", versions: versions{delivered}, want: "[a b] [read order]"},
		"all, and pending":      {projects: "a b", permissions: "read order", versions: versions{pending}, want: "[a b] [read order]"},
		"a project too much":    {projects: "c a", permissions: "read order", versions: versions{delivered}, want: "[a] [read order]"},
		"a permission too much": {projects: "a b", permissions: "refund order", versions: versions{delivered}, want: "[a b] [order]"},
		"while it rotates":      {projects: "c a", permissions: "read", versions: versions{delivered, pending}, want: "[a] [read]"},
		"in its overlap only":   {projects: "c a", permissions: "read", versions: versions{version(v1alpha1.VersionRetiring, instant)}, want: "[a] [read]"},
		"while it is suspended": {projects: "c a", permissions: "read", versions: versions{delivered}, suspended: true, want: "[a] [read]"},
		"with context": {projects: "a", permissions: "read", versions: versions{pending}, context: map[string]v1alpha1.ContextValue{"plan": "trial"},
			want: "[a] [read] map[plan:trial]"},
		"context too much": {projects: "a", permissions: "read", versions: versions{delivered},
			context: map[string]v1alpha1.ContextValue{"plan": "trial", "database": "globex"}, want: "[a] [read] map[plan:trial]"},
		"nothing but context too much": {projects: "a", permissions: "read", versions: versions{delivered},
			context: map[string]v1alpha1.ContextValue{"database": "globex"}, want: "[a] [read]"},
		"context too much, never delivered": {projects: "a", permissions: "read", versions: versions{pending},
			context: map[string]v1alpha1.ContextValue{"database": "globex"}},
		"never delivered":            {projects: "c a", permissions: "read", versions: versions{pending}},
		"never minted":               {projects: "c a", permissions: "read"},
		"no project":                 {projects: "c", permissions: "read", versions: versions{delivered}},
		"no permission":              {projects: "a", permissions: "refund", versions: versions{delivered}},
		"a Group of another project": {projects: "a", permissions: "read", versions: versions{delivered}, group: func(g *v1alpha1.Group) { g.Spec.Projects = g.Spec.Projects[1:] }},
		"a Group that refuses the namespace": {projects: "a c", permissions: "read", versions: versions{delivered},
			group: func(g *v1alpha1.Group) { g.Namespace = "elsewhere" }},
	} {
		t.Run(name, func(t *testing.T) {
			group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme"}}
			group.Spec.Projects = []v1alpha1.Project{{Name: "a"}, {Name: "b"}}
			group.Spec.Capabilities = []v1alpha1.Capability{{Name: "order"}}
			group.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"plan", "region"}
			if c.group != nil {
				c.group(group)
			}
			key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "web", UID: "1"}}
			key.Spec.Suspended, key.Spec.Context, key.Status.Versions = &c.suspended, c.context, c.versions
			for _, text := range strings.Fields(c.projects) {
				key.Spec.Projects = append(key.Spec.Projects, v1alpha1.ProjectName(text))
			}
			for _, text := range strings.Fields(c.permissions) {
				key.Spec.Permissions = append(key.Spec.Permissions, v1alpha1.PermissionName(text))
			}
			record := publish.KeyRecord(key, grant.Grant(grant.ForKey(key, nil), group))
			if c.want == "" {
				if record != nil {
					t.Errorf("published: %v", record)
				}
				return
			}
			got := fmt.Sprint(record.GetProjects(), record.GetPermissions())
			if len(record.GetContext()) > 0 {
				got += fmt.Sprint(" ", record.GetContext())
			}
			if got != c.want {
				t.Errorf("published with %s, want %s", got, c.want)
			}
			if record.GetSuspended() != c.suspended || len(record.GetVersions()) != len(c.versions) ||
				record.GetVersions()[0].GetExpiresAtMs() != instant.UnixMilli() {
				t.Errorf("published as %v", record)
			}
		})
	}
}

// TestContactsStayWithTheManager: validation servers do not get whom to notify, and a change of that publishes nothing.
func TestContactsStayWithTheManager(t *testing.T) {
	group := &v1alpha1.Group{}
	without := publish.GroupRecord(group, nil)
	group.Spec.Contacts = []v1alpha1.Contact{{Name: "hook", URL: "https://hooks.acme.example/keyward"}, {Name: "ops", Email: "ops@acme.example"}}
	if with := publish.GroupRecord(group, nil); !proto.Equal(without, with) || publish.RecordID(without) != publish.RecordID(with) {
		t.Errorf("contacts are published: %v", with)
	}
}
