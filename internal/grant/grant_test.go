package grant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/routing"
)

func group() *v1alpha1.Group {
	return &v1alpha1.Group{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme"},
		Spec: v1alpha1.GroupSpec{
			Projects:     []v1alpha1.Project{{Name: "marketing"}, {Name: "product"}},
			Capabilities: []v1alpha1.Capability{{Name: "checkout"}},
		},
	}
}

func TestCheck(t *testing.T) {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "paid"}}
	tests := map[string]struct {
		subject grant.Subject
		group   func(*v1alpha1.Group) *v1alpha1.Group
		reason  string
		field   string
		mention string
	}{
		"same namespace": {subject: grant.Subject{Namespace: "tenants"}},
		"no such group": {
			subject: grant.Subject{Namespace: "web", GroupRef: v1alpha1.GroupReference{Name: "acme", Namespace: "tenants"}},
			group:   func(*v1alpha1.Group) *v1alpha1.Group { return nil },
			reason:  v1alpha1.ReasonNamespaceNotAllowed, field: "spec.groupRef", mention: `no Group "acme" in namespace "tenants" admits`,
		},
		"no such group in the own namespace": {
			subject: grant.Subject{Namespace: "tenants", GroupRef: v1alpha1.GroupReference{Name: "acme"}},
			group:   func(*v1alpha1.Group) *v1alpha1.Group { return nil },
			reason:  v1alpha1.ReasonGroupNotFound, field: "spec.groupRef", mention: `"acme" in namespace "tenants"`,
		},
		"another namespace, by default": {
			subject: grant.Subject{Namespace: "web"},
			reason:  v1alpha1.ReasonNamespaceNotAllowed, field: "spec.groupRef", mention: "spec.allowedNamespaces",
		},
		"another namespace, all admitted": {
			subject: grant.Subject{Namespace: "web"},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll
				return g
			},
		},
		"another namespace that is selected": {
			subject: grant.Subject{Namespace: "web", NamespaceLabels: map[string]string{"tier": "paid"}},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: selector}
				return g
			},
		},
		"another namespace that is not selected": {
			subject: grant.Subject{Namespace: "web", NamespaceLabels: map[string]string{"tier": "free"}},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: selector}
				return g
			},
			reason: v1alpha1.ReasonNamespaceNotAllowed, field: "spec.groupRef", mention: "label this namespace",
		},
		"a selector that is missing admits nobody": {
			subject: grant.Subject{Namespace: "web"},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSelector
				return g
			},
			reason: v1alpha1.ReasonNamespaceNotAllowed, field: "spec.groupRef",
		},
		"an allowlist of another namespace, where keys are admitted": {
			subject: grant.Subject{Namespace: "web", Allowlist: true, NamespaceLabels: map[string]string{"tier": "paid"}},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: selector}
				return g
			},
			reason: v1alpha1.ReasonNamespaceNotAllowed, field: "spec.groupRef",
			mention: "let spec.allowlistsFrom of the Group admit this namespace",
		},
		"an allowlist of a namespace that is selected": {
			subject: grant.Subject{Namespace: "web", Allowlist: true, NamespaceLabels: map[string]string{"tier": "paid"}},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowlistsFrom = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: selector}
				return g
			},
		},
		"a key, where allowlists are admitted": {
			subject: grant.Subject{Namespace: "web"},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowlistsFrom.From = v1alpha1.NamespacesFromAll
				return g
			},
			reason: v1alpha1.ReasonNamespaceNotAllowed, field: "spec.groupRef", mention: "spec.allowedNamespaces",
		},
		"the own namespace needs no selector": {
			subject: grant.Subject{Namespace: "tenants"},
			group: func(g *v1alpha1.Group) *v1alpha1.Group {
				g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: selector}
				return g
			},
		},
		"a project that is not there": {
			subject: grant.Subject{Namespace: "tenants", Projects: []v1alpha1.ProjectName{"marketing", "sales"}},
			reason:  v1alpha1.ReasonProjectNotFound, field: "spec.projects[1]", mention: `"marketing", "product"`,
		},
		"the implicit project": {
			subject: grant.Subject{Namespace: "tenants", Projects: []v1alpha1.ProjectName{"default"}},
			group:   func(g *v1alpha1.Group) *v1alpha1.Group { g.Spec.Projects = nil; return g },
		},
		"the implicit project where there are others": {
			subject: grant.Subject{Namespace: "tenants", Projects: []v1alpha1.ProjectName{"default"}},
			reason:  v1alpha1.ReasonProjectNotFound, field: "spec.projects[0]",
		},
		"read and a capability": {
			subject: grant.Subject{Namespace: "tenants", Permissions: []v1alpha1.PermissionName{"read", "checkout"}},
		},
		"a capability that is not there": {
			subject: grant.Subject{Namespace: "tenants", Permissions: []v1alpha1.PermissionName{"read", "refund"}},
			reason:  v1alpha1.ReasonPermissionNotFound, field: "spec.permissions[1]", mention: `"read", "checkout"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := group()
			if test.group != nil {
				g = test.group(g)
			}
			problem := grant.Check(test.subject, g)
			if problem == nil {
				problem = &grant.Problem{}
			}
			if problem.Reason != test.reason || problem.Field != test.field || !strings.Contains(problem.Message, test.mention) {
				t.Errorf("got %+v, want reason %q, field %q, a message with %q", problem, test.reason, test.field, test.mention)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	minted := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: minted.Add(d)} }
	const day = 24 * time.Hour
	tests := map[string]struct {
		spec   v1alpha1.ApiKeySpec
		policy v1alpha1.KeyPolicy
		want   time.Duration
		never  bool
		reason string
		field  string
	}{
		"90 days by default":         {want: 90 * day},
		"the Group's default":        {policy: v1alpha1.KeyPolicy{DefaultLifetime: "30d"}, want: 30 * day},
		"the longest, where shorter": {policy: v1alpha1.KeyPolicy{MaxLifetime: "30d"}, want: 30 * day},
		"declared":                   {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "1d12h"}, want: 36 * time.Hour},
		"declared instant":           {spec: v1alpha1.ApiKeySpec{ExpiresAt: at(day)}, want: day},
		"exactly the longest": {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "30d"},
			policy: v1alpha1.KeyPolicy{MaxLifetime: "30d"}, want: 30 * day},
		"a second too long": {spec: v1alpha1.ApiKeySpec{ExpiresAt: at(30*day + time.Second)},
			policy: v1alpha1.KeyPolicy{MaxLifetime: "30d"}, reason: v1alpha1.ReasonLifetimeNotAllowed, field: "spec.expiresAt"},
		"too long": {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "31d"},
			policy: v1alpha1.KeyPolicy{MaxLifetime: "30d"}, reason: v1alpha1.ReasonLifetimeNotAllowed, field: "spec.expiresAfter"},
		"never, not allowed": {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "Never"},
			reason: v1alpha1.ReasonLifetimeNotAllowed, field: "spec.expiresAfter"},
		"never, allowed": {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "Never"},
			policy: v1alpha1.KeyPolicy{AllowNever: ptr.To(true)}, never: true},
		"never, allowed and capped": {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "Never"},
			policy: v1alpha1.KeyPolicy{AllowNever: ptr.To(true), MaxLifetime: "30d"}, never: true},
		"no time at all": {spec: v1alpha1.ApiKeySpec{ExpiresAfter: "0s"},
			reason: v1alpha1.ReasonInvalidSpec, field: "spec.expiresAfter"},
		"in the past": {spec: v1alpha1.ApiKeySpec{ExpiresAt: at(-time.Second)},
			reason: v1alpha1.ReasonLifetimeNotAllowed, field: "spec.expiresAt"},
		"now": {spec: v1alpha1.ApiKeySpec{ExpiresAt: at(0)},
			reason: v1alpha1.ReasonLifetimeNotAllowed, field: "spec.expiresAt"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := group()
			g.Spec.KeyPolicy = test.policy
			got, problem := grant.Expiry(&v1alpha1.ApiKey{Spec: test.spec}, g, minted)
			if test.reason != "" {
				if problem == nil || problem.Reason != test.reason || problem.Field != test.field {
					t.Fatalf("got %v, want %s of %s", problem, test.reason, test.field)
				}
				return
			}
			if problem != nil {
				t.Fatal(problem)
			}
			if test.never != got.IsZero() || !test.never && !got.Equal(minted.Add(test.want)) {
				t.Errorf("ends at %v, want %v after %v", got, test.want, minted)
			}
		})
	}
}

func TestGroup(t *testing.T) {
	tests := map[string]struct {
		spec  v1alpha1.GroupSpec
		field string
	}{
		"nothing declared": {},
		"a default beyond the longest": {
			spec:  v1alpha1.GroupSpec{KeyPolicy: v1alpha1.KeyPolicy{DefaultLifetime: "90d", MaxLifetime: "30d"}},
			field: "spec.keyPolicy.defaultLifetime",
		},
		"a longest of nothing": {
			spec:  v1alpha1.GroupSpec{KeyPolicy: v1alpha1.KeyPolicy{MaxLifetime: "0s"}},
			field: "spec.keyPolicy.maxLifetime",
		},
		"a path with a wildcard in the middle of a subtree": {
			spec: v1alpha1.GroupSpec{Projects: []v1alpha1.Project{{Name: "a",
				Routes: []v1alpha1.Route{{Paths: []string{"/a"}}, {Paths: []string{"/a/**/b"}}}}}},
			field: "spec.projects[0].routes[1].paths[0]",
		},
		"64 KiB of routes":           {spec: patterns(routing.MaxSize)},
		"more than 64 KiB of routes": {spec: patterns(routing.MaxSize + 1), field: "spec.projects"},
		"many short paths": {
			spec: v1alpha1.GroupSpec{Capabilities: []v1alpha1.Capability{{Name: "c",
				Routes: slices.Repeat([]v1alpha1.Route{{Paths: slices.Repeat([]string{"/b"}, 32)}}, 64)}}},
			field: "spec.projects",
		},
		"many short values": {
			spec: v1alpha1.GroupSpec{Capabilities: []v1alpha1.Capability{{Name: "c",
				Routes: slices.Repeat([]v1alpha1.Route{{Query: map[string]v1alpha1.QueryValues{"a": slices.Repeat([]string{"b"}, 32)}}},
					200)}}},
			field: "spec.projects",
		},
		"a selector that is none": {
			spec: v1alpha1.GroupSpec{AllowedNamespaces: v1alpha1.AllowedNamespaces{
				From:     v1alpha1.NamespacesFromSelector,
				Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}},
			}},
			field: "spec.allowedNamespaces.selector",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			field := ""
			if problem := grant.Group(&v1alpha1.Group{Spec: test.spec}); problem != nil {
				field = problem.Field
			}
			if field != test.field {
				t.Errorf("problem with %q, want %q", field, test.field)
			}
		})
	}
}

// patterns is a Group with routes of that size, in projects and capabilities.
func patterns(size int) v1alpha1.GroupSpec {
	spec := v1alpha1.GroupSpec{Capabilities: []v1alpha1.Capability{{Name: "c", Routes: []v1alpha1.Route{{Paths: []string{"/c"}}}}}}
	of := func(path string) int { return (&routing.Route{Paths: []string{path}}).Size() }
	size -= of("/c")
	for i := 0; size > 0; i++ {
		length := min(size-of(""), 1024)
		if rest := size - of("") - length; rest > 0 && rest <= of("") {
			length -= of("") // there has to be room for another
		}
		path := "/" + strings.Repeat("a", length-1)
		size -= of(path)
		spec.Projects = append(spec.Projects, v1alpha1.Project{Name: v1alpha1.ProjectName(fmt.Sprintf("p%d", i)),
			Routes: []v1alpha1.Route{{Paths: []string{path}}}})
	}
	return spec
}

// TestGroupsOfOtherNamespacesAreNotDisclosed: it makes no difference whether a Group of another namespace exists, and why it does
// not admit this one.
func TestGroupsOfOtherNamespacesAreNotDisclosed(t *testing.T) {
	ref := v1alpha1.GroupReference{Name: "acme", Namespace: "tenants"}
	for _, allowlist := range []bool{false, true} {
		subject := grant.Subject{Namespace: "web", GroupRef: ref, Allowlist: allowlist, Projects: []v1alpha1.ProjectName{"none"}}
		missing := grant.Check(subject, nil)
		for _, from := range []v1alpha1.NamespacesFrom{"", v1alpha1.NamespacesFromSame, v1alpha1.NamespacesFromSelector} {
			group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme"}}
			group.Spec.AllowedNamespaces.From, group.Spec.AllowlistsFrom.From = from, from
			if got := grant.Check(subject, group); got == nil || missing == nil || *got != *missing {
				t.Errorf("from %q: %v, and without the Group %v", from, got, missing)
			}
		}
	}
}
