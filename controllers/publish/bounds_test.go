package publish_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/routing"
)

// longName is the i-th name of a length.
func longName(i, length int) string {
	name := fmt.Sprintf("n%d-", i)
	return name + strings.Repeat("x", length-len(name))
}

// largestGroup is a Group with the most that is admitted.
func largestGroup() *v1alpha1.Group {
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: longName(0, 63), Name: longName(0, 253)}}
	g.Spec.DisplayName = strings.Repeat("一", 128)
	g.Spec.Context = map[string]v1alpha1.ContextValue{}
	for i := range 32 {
		g.Spec.Context[longName(i, 63)] = v1alpha1.ContextValue(strings.Repeat("c", 1024))
		g.Spec.Capabilities = append(g.Spec.Capabilities, v1alpha1.Capability{Name: v1alpha1.PermissionName(longName(i, 63))})
	}
	for i := range 64 {
		g.Spec.Projects = append(g.Spec.Projects, v1alpha1.Project{Name: v1alpha1.ProjectName(longName(i, 63))})
	}
	for i := 0; ; i++ {
		routes := &g.Spec.Projects[i%64].Routes
		*routes = append(*routes, v1alpha1.Route{Paths: []string{"/"}})
		if grant.RoutesTooLarge(g) {
			*routes = (*routes)[:len(*routes)-1]
			return g
		}
	}
}

// largestAllowlists are the most that count for one Group: so many lists, each for the most projects.
func largestAllowlists(group *v1alpha1.Group, count int) (lists []*v1alpha1.DomainAllowlist) {
	projects := grant.Projects(group)
	domains, length := grant.MaxDomains/count, grant.MaxDomainBytes/grant.MaxDomains
	for i := range count {
		list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: group.Namespace, Name: fmt.Sprintf("l%04d", i)}}
		list.Spec.Projects = projects
		if count > 16 { // as many different sets of projects
			list.Spec.Projects = slices.Clone(projects[i%2:])
			for bit := range 12 {
				if i>>bit&1 != 0 {
					list.Spec.Projects = slices.DeleteFunc(list.Spec.Projects, func(name v1alpha1.ProjectName) bool { return name == projects[8+bit] })
				}
			}
		}
		for j := range domains {
			name := fmt.Sprintf("https://d%dx%d.", i, j)
			list.Spec.Domains = append(list.Spec.Domains, name+strings.Repeat("x", length-len(name)-len(".example:8443"))+".example:8443")
		}
		lists = append(lists, list)
	}
	return lists
}

// largestKey is an ApiKey at the limits of its schema.
func largestKey() *v1alpha1.ApiKey {
	k := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: longName(0, 63), Name: longName(0, 253), UID: "u"}}
	k.Spec.GroupRef = v1alpha1.GroupReference{Namespace: longName(0, 63), Name: longName(0, 253)}
	for i := range 64 {
		k.Spec.Projects = append(k.Spec.Projects, v1alpha1.ProjectName(longName(i, 63)))
	}
	for i := range 33 {
		k.Spec.Permissions = append(k.Spec.Permissions, v1alpha1.PermissionName(longName(i, 63)))
	}
	at := metav1.NewTime(start.Add(100 * 365 * 24 * time.Hour))
	for i := range 16 {
		k.Status.Versions = append(k.Status.Versions, v1alpha1.KeyVersion{
			Digest: fmt.Sprintf("sha256:%064x", i), ExpiresAt: &at, RetiresAt: &at, State: v1alpha1.VersionRevoked,
		})
	}
	return k
}

// TestLargestRecordsAreSmall: the most that is admitted is sent, since a record is larger only where admission was passed by.
func TestLargestRecordsAreSmall(t *testing.T) {
	group := largestGroup()
	for _, count := range []int{16, grant.MaxDomains} {
		lists := largestAllowlists(group, count)
		if _, beyond := grant.FitAllowlists(lists); len(beyond) > 0 {
			t.Fatalf("%d of %d lists do not count", len(beyond), count)
		}
		record := publish.GroupRecord(group, lists)
		patterns := 0
		for _, shared := range record.GetSharedOrigins() {
			patterns += len(shared.GetPatterns())
		}
		if patterns != grant.MaxDomains || record.GetProjects()[0].GetRoutes() == nil {
			t.Fatalf("of %d lists, the record has %d patterns", count, patterns)
		}
		t.Logf("with %d lists: %d KiB", count, proto.Size(record)>>10)
		if publish.IsTooLarge(record) {
			t.Errorf("with %d lists, the record has %d bytes", count, proto.Size(record))
		}
	}
	if record := publish.KeyRecord(largestKey(), grant.Whole(largestKey())); len(record.GetVersions()) != 16 || proto.Size(record) > 16<<10 {
		t.Errorf("a key with %d versions has %d bytes", len(record.GetVersions()), proto.Size(record))
	}
}

// TestAllowlistsBeyondAllowNothing: what does not fit by the age of the lists is not published, and its projects do not
// become projects without a list, which accept requests without an origin.
func TestAllowlistsBeyondAllowNothing(t *testing.T) {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	list := func(name string, age, domains int, projects ...v1alpha1.ProjectName) *v1alpha1.DomainAllowlist {
		l := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, CreationTimestamp: metav1.NewTime(start.Add(time.Duration(age) * time.Second))}}
		l.Spec.Projects, l.Spec.MissingOrigin = projects, v1alpha1.MissingOriginAllow
		for i := range domains {
			l.Spec.Domains = append(l.Spec.Domains, fmt.Sprintf("d%d.%s.example", i, name))
		}
		return l
	}
	lists := []*v1alpha1.DomainAllowlist{list("beyond", 2, 1, "b"), list("old", 1, grant.MaxDomains, "a")}
	for range 2 {
		record := publish.GroupRecord(group, lists)
		a, b, c := record.GetProjects()[0].GetOrigins(), record.GetProjects()[1].GetOrigins(), record.GetProjects()[2].GetOrigins()
		if len(a.GetPatterns()) != grant.MaxDomains || !a.GetAllowMissing() {
			t.Errorf("of the list that fits, %d patterns are published", len(a.GetPatterns()))
		}
		if len(b.GetPatterns()) > 0 || b.GetAllowMissing() || b.GetAllowLocalhost() {
			t.Errorf("the list that is beyond allows %v", b)
		}
		if !c.GetAllowMissing() || !c.GetAllowLocalhost() {
			t.Errorf("the project without a list has %v", c)
		}
		slices.Reverse(lists)
	}
}

// TestRoutesThatAreTooLargeAreNotPublished: validation servers would keep none of them, and so they are not sent.
func TestRoutesThatAreTooLargeAreNotPublished(t *testing.T) {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{{Paths: []string{"/" + strings.Repeat("x", routing.MaxSize)}}}}, {Name: "b"}}
	record := publish.GroupRecord(group, nil)
	if len(record.GetProjects()) != 2 || record.GetProjects()[0].GetRoutes() != nil || record.GetProjects()[0].GetOwnsAll() {
		t.Errorf("%v", record.GetProjects())
	}
}

// TestNoGroupDelaysOthers: a Group and a key that are too large are not sent. Servers refuse their keys, get all else in
// messages far below what they receive, and the metric names them until they are smaller.
func TestNoGroupDelaysOthers(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	const big = "aa/big"
	putKey(hub, keyRecord("k2", acme))
	hub.PutGroup(groupRecord(big))
	putKey(hub, keyRecord("k3", big))
	there := connect(hub, "there")
	there.take(t, true)
	withheld := func() (names []string) {
		families, err := metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != "keyward_withheld_records" {
				continue
			}
			for _, metric := range family.GetMetric() {
				name := ""
				for _, label := range metric.GetLabel() { // by their names: kind, name, namespace
					name += label.GetValue() + " "
				}
				names = append(names, strings.TrimSpace(name))
			}
		}
		return names
	}
	if names := withheld(); len(names) > 0 {
		t.Fatalf("at first, %v are withheld", names)
	}

	large := groupRecord(big)
	for range 80 << 10 {
		large.Projects[0].Routes = append(large.Projects[0].Routes, &syncv1.Route{Paths: []string{strings.Repeat("x", 1<<10)}})
	}
	hub.PutGroup(large)
	key := keyRecord("k2", acme)
	key.Permissions = []string{strings.Repeat("x", publish.MaxRecordBytes)}
	putKey(hub, key)
	revoked := keyRecord("k3", big)
	revoked.Versions = []*syncv1.Version{{Digest: []byte("d"), Revoked: true}}
	putKey(hub, revoked)
	if names := withheld(); !slices.Equal(names, []string{"ApiKey k2 web", "Group big aa"}) {
		t.Errorf("the metric names %v", names)
	}
	if publish.RecordID(large) != publish.RecordID(there.groups[big]) {
		there.take(t, true)
	}
	for _, s := range []*server{there, connect(hub, "new")} {
		s.take(t, true)
		if group := s.groups[big]; group.GetState() != syncv1.GroupState_GROUP_STATE_SUSPENDED || len(group.GetProjects()[0].GetRoutes()) > 0 {
			t.Errorf("a server has a record of %d bytes in the state %v", proto.Size(group), group.GetState())
		}
		if s.keys["k2"] != nil || !s.keys["k3"].GetVersions()[0].GetRevoked() || s.groups[acme] == nil || s.keys["k1"] == nil {
			t.Errorf("a server has the keys %v", s.keys)
		}
		if publish.RecordID(large) != publish.RecordID(s.groups[big]) {
			t.Error("what is in force is not what the reconciler asks about")
		}
		for _, update := range s.received {
			if size := proto.Size(update); size > 2*publish.MaxRecordBytes {
				t.Errorf("an update has %d bytes", size)
			}
		}
	}

	hub.PutGroup(groupRecord(big))
	putKey(hub, keyRecord("k2", acme))
	there.take(t, true)
	if names := withheld(); len(names) > 0 || there.groups[big].GetState() == syncv1.GroupState_GROUP_STATE_SUSPENDED || there.keys["k2"] == nil {
		t.Errorf("when they are smaller, %v are withheld", names)
	}
}

// TestMessagesAreFarBelowWhatServersReceive: with Groups that have the most that is admitted, one by one or all at once.
func TestMessagesAreFarBelowWhatServersReceive(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	there := connect(hub, "there")
	there.take(t, true)
	for i := range 8 {
		group := largestGroup()
		group.Name = fmt.Sprint("g", i)
		record := publish.GroupRecord(group, largestAllowlists(group, grant.MaxDomains))
		hub.PutGroup(record)
		for j := range 200 {
			key := publish.KeyRecord(largestKey(), grant.Whole(largestKey()))
			key.Id, key.Group = fmt.Sprintf("g%dk%d", i, j), record.Identity()
			hub.PutKey(key, types.NamespacedName{})
		}
	}
	for _, s := range []*server{there, connect(hub, "new")} {
		s.take(t, true)
		if len(s.groups) != 9 || len(s.keys) != 1601 {
			t.Errorf("a server has %d Groups and %d keys", len(s.groups), len(s.keys))
		}
		for _, update := range s.received {
			if size := proto.Size(update); size > 2*publish.MaxRecordBytes {
				t.Errorf("an update has %d bytes", size)
			}
		}
	}
}
