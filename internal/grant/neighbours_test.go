package grant

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// meet is what an index must find: whether some host matches both patterns.
func meet(a, b string) bool {
	wideA, wildA := strings.CutPrefix(a, "*")
	wideB, wildB := strings.CutPrefix(b, "*")
	return a == b || wildA && strings.HasSuffix(wideB, wideA) || wildB && strings.HasSuffix(wideA, wideB)
}

// TestHostIndex compares an index with what it is instead of.
func TestHostIndex(t *testing.T) {
	host := rapid.StringMatching(`([*][.])?([abc][.]){0,3}(example|a|b)`)
	found, missing := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		ours, theirs := rapid.SliceOfN(host, 0, 4).Draw(t, "ours"), host.Draw(t, "theirs")
		got := indexHosts([]v1alpha1.Route{{Hosts: ours}}).meeting(theirs)
		if want := slices.ContainsFunc(ours, func(h string) bool { return meet(h, theirs) }); want != (got != "") {
			t.Fatalf("%q and %s: %q", ours, theirs, got)
		}
		if got == "" {
			missing++
			return
		}
		if found++; !slices.Contains(ours, got) || !meet(got, theirs) {
			t.Fatalf("%q and %s: %q", ours, theirs, got)
		}
	})
	if found == 0 || missing == 0 {
		t.Errorf("%d found, %d not", found, missing)
	}
}

// TestOtherGroupsAreBounded: what others write cannot make everybody wait who writes a Group.
func TestOtherGroupsAreBounded(t *testing.T) {
	group := func(name string, hosts ...string) v1alpha1.Group {
		g := v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name}}
		g.Spec.Projects = []v1alpha1.Project{{Name: "web", Public: []string{"/robots.txt"}, Routes: []v1alpha1.Route{{Hosts: hosts}}}}
		return g
	}
	ours, same := group("acme", "acme.example"), group("same", "acme.example")
	for name, large := range map[string]v1alpha1.Group{
		"many hosts": group("large", slices.Repeat([]string{"other.example"}, maxLooks)...),
		"long hosts": group("large", slices.Repeat([]string{strings.Repeat("a.", 100) + "example"}, maxLooks/4)...),
	} {
		t.Run(name, func(t *testing.T) {
			if got := neighboursOf(&ours, []v1alpha1.Group{same, large}); got.shared[0] != "acme.example" {
				t.Errorf("not found before: %v", got)
			}
			if got := neighboursOf(&ours, []v1alpha1.Group{large, same}); got.shared[0] != "" {
				t.Errorf("it has looked at everything: %v", got)
			}
		})
	}
	if got := PublicWarnings(&ours, []v1alpha1.Group{ours, same}); len(got) != 1 {
		t.Errorf("warnings %q", got)
	}
}
