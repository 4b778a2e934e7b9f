package grant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// allowlist is a list of so many domains of a length, the age-th to be created.
func allowlist(name string, age, domains, length int) *v1alpha1.DomainAllowlist {
	created := metav1.NewTime(time.Date(2026, 11, 26, 12, 0, age, 0, time.UTC))
	list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name, CreationTimestamp: created}}
	for i := range domains {
		domain := fmt.Sprintf("d%d.", i)
		list.Spec.Domains = append(list.Spec.Domains, domain+strings.Repeat("x", length-len(domain)))
	}
	return list
}

func names(lists []*v1alpha1.DomainAllowlist) string {
	var all []string
	for _, list := range lists {
		all = append(all, list.Name)
	}
	return strings.Join(all, " ")
}

// TestAllowlistsFitByAge: what is beyond the bounds does not count, by age and then by name, in any order of the lists.
func TestAllowlistsFitByAge(t *testing.T) {
	foreign := allowlist("foreign", 0, 0, 0)
	foreign.Spec.Domains = slices.Repeat([]string{"é.example"}, 1025)
	for name, c := range map[string]struct {
		lists           []*v1alpha1.DomainAllowlist
		counted, beyond string
	}{
		"none":               {nil, "", ""},
		"all that may be":    {[]*v1alpha1.DomainAllowlist{allowlist("b", 1, 2048, 64), allowlist("a", 2, 2048, 64)}, "b a", ""},
		"one domain more":    {[]*v1alpha1.DomainAllowlist{allowlist("a", 2, 2048, 10), allowlist("b", 1, 2049, 10)}, "b", "a"},
		"one byte more":      {[]*v1alpha1.DomainAllowlist{allowlist("a", 2, 1024, 128), allowlist("b", 1, 1023, 128), allowlist("c", 3, 1, 129)}, "b a", "c"},
		"of the same age":    {[]*v1alpha1.DomainAllowlist{allowlist("b", 1, 4000, 10), allowlist("a", 1, 4000, 10)}, "a", "b"},
		"a small one behind": {[]*v1alpha1.DomainAllowlist{allowlist("c", 3, 1, 10), allowlist("b", 2, 4000, 10), allowlist("a", 1, 4000, 10)}, "a", "b c"},
		"international ones": {[]*v1alpha1.DomainAllowlist{foreign, allowlist("b", 1, 1, 10)}, "", "foreign b"},
	} {
		counted, beyond := grant.FitAllowlists(c.lists)
		if names(counted) != c.counted || names(beyond) != c.beyond {
			t.Errorf("%s: %q count and %q are beyond", name, names(counted), names(beyond))
		}
	}
	var empty []*v1alpha1.DomainAllowlist
	for i := range grant.MaxDomains + 5 {
		empty = append(empty, allowlist(fmt.Sprintf("l%05d", i), 1, 0, 0))
	}
	if counted, beyond := grant.FitAllowlists(empty); len(counted) != grant.MaxDomains || len(beyond) != 5 {
		t.Errorf("%d lists without domains count, %d do not", len(counted), len(beyond))
	}
}

// TestAllowlistTooLarge: a list is refused that does not fit beside the others, unless it is a change that makes it smaller.
func TestAllowlistTooLarge(t *testing.T) {
	others := []*v1alpha1.DomainAllowlist{allowlist("a", 1, 4000, 10), allowlist("b", 2, 4000, 10)} // b is beyond already
	for name, c := range map[string]struct {
		old, list *v1alpha1.DomainAllowlist
		refused   bool
	}{
		"a new one that fits":        {nil, allowlist("c", 3, 96, 10), false},
		"a new one that does not":    {nil, allowlist("c", 3, 97, 10), true},
		"a change that fits":         {allowlist("c", 3, 1, 10), allowlist("c", 3, 96, 10), false},
		"a change that does not":     {allowlist("c", 3, 1, 10), allowlist("c", 3, 97, 10), true},
		"one domain less":            {allowlist("c", 3, 4000, 10), allowlist("c", 3, 3999, 10), false},
		"fewer, but longer":          {allowlist("c", 3, 256, 10), allowlist("c", 3, 255, 250), true},
		"only the projects of it":    {allowlist("c", 3, 4000, 10), allowlist("c", 3, 4000, 10), false},
		"a new one without a domain": {nil, allowlist("c", 3, 0, 0), false},
	} {
		problem := grant.AllowlistTooLarge(c.old, c.list, others)
		if problem == nil == c.refused {
			t.Errorf("%s: %v", name, problem)
		}
		if problem != nil && (problem.Reason != v1alpha1.ReasonAllowlistsTooLarge || problem.Field != "spec.domains" ||
			!strings.Contains(problem.Message, "4096") || !strings.Contains(problem.Message, "wildcard")) {
			t.Errorf("%s: %v", name, problem)
		}
	}
}
