package grant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// TestGrant: a key has what both it and its Group name, and nothing of a Group that refuses it.
func TestGrant(t *testing.T) {
	for name, test := range map[string]struct {
		projects, permissions string
		group                 func(*v1alpha1.Group) *v1alpha1.Group
		namespace             string
		want                  string // projects; permissions
		partly                bool
		reason                string
	}{
		"all":            {projects: "product marketing", permissions: "read checkout", want: "product marketing; read checkout"},
		"a project less": {projects: "product sales marketing", permissions: "read", want: "product marketing; read", partly: true, reason: v1alpha1.ReasonProjectNotFound},
		"no project":     {projects: "sales", permissions: "read", want: "; read", reason: v1alpha1.ReasonProjectNotFound},
		"a capability less": {projects: "product", permissions: "refund read", want: "product; read", partly: true,
			reason: v1alpha1.ReasonPermissionNotFound},
		"no permission": {projects: "product", permissions: "refund", want: "product; ", reason: v1alpha1.ReasonPermissionNotFound},
		"less of both": {projects: "sales product", permissions: "refund checkout", want: "product; checkout", partly: true,
			reason: v1alpha1.ReasonProjectNotFound},
		"a project, and no permission": {projects: "product sales", permissions: "refund", want: "product; ",
			reason: v1alpha1.ReasonProjectNotFound},
		"the implicit project beside another": {projects: "default sales", permissions: "read", want: "default; read", partly: true,
			group:  func(g *v1alpha1.Group) *v1alpha1.Group { g.Spec.Projects = nil; return g },
			reason: v1alpha1.ReasonProjectNotFound},
		"the implicit project, which is not there any more": {projects: "default", permissions: "read", want: "; read",
			reason: v1alpha1.ReasonProjectNotFound},
		"names that begin alike": {projects: "market marketing2", permissions: "Read", want: "; ", reason: v1alpha1.ReasonProjectNotFound},
		"nothing at all":         {want: "; "},
		"no Group": {projects: "product", permissions: "read", want: "; ", reason: v1alpha1.ReasonGroupNotFound,
			group: func(*v1alpha1.Group) *v1alpha1.Group { return nil }},
		"a namespace that is not admitted": {projects: "product sales", permissions: "read", namespace: "web", want: "; ",
			reason: v1alpha1.ReasonNamespaceNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			key := &v1alpha1.ApiKey{}
			key.Namespace, key.Spec.GroupRef = "tenants", v1alpha1.GroupReference{Name: "acme", Namespace: "tenants"}
			if test.namespace != "" {
				key.Namespace = test.namespace
			}
			for _, text := range strings.Fields(test.projects) {
				key.Spec.Projects = append(key.Spec.Projects, v1alpha1.ProjectName(text))
			}
			for _, text := range strings.Fields(test.permissions) {
				key.Spec.Permissions = append(key.Spec.Permissions, v1alpha1.PermissionName(text))
			}
			g := group()
			if test.group != nil {
				g = test.group(g)
			}
			granted := grant.Grant(grant.ForKey(key, nil), g)
			if got := words(granted.Projects) + "; " + words(granted.Permissions); got != test.want {
				t.Errorf("granted %q, want %q", got, test.want)
			}
			reason := ""
			if granted.Problem != nil {
				reason = granted.Problem.Reason
			}
			if granted.Partly() != test.partly || reason != test.reason {
				t.Errorf("partly %t, reason %q", granted.Partly(), reason)
			}
			if !granted.Partly() {
				return
			}
			before := granted.Problem.Message
			if text := granted.Narrowed().Error(); !strings.HasPrefix(text, granted.Problem.Error()) ||
				!strings.Contains(text, "goes on with what is granted: projects "+quoted(granted.Projects)+", permissions "+quoted(granted.Permissions)) {
				t.Error(text)
			}
			if granted.Problem.Message != before {
				t.Error("the problem itself has changed")
			}
		})
	}
}

func words[T ~string](names []T) string {
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return strings.Join(texts, " ")
}

func quoted[T ~string](names []T) string {
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, fmt.Sprintf("%q", string(name)))
	}
	return strings.Join(texts, ", ")
}

// TestGrantIsNeverWider: for any key and Group, what is granted is what both name.
func TestGrantIsNeverWider(t *testing.T) {
	projects := rapid.SliceOfNDistinct(rapid.SampledFrom([]v1alpha1.ProjectName{"default", "a", "b", "c"}), 0, 4, rapid.ID)
	permissions := rapid.SliceOfNDistinct(rapid.SampledFrom([]v1alpha1.PermissionName{"read", "x", "y"}), 0, 3, rapid.ID)
	rapid.Check(t, func(t *rapid.T) {
		g, key := group(), &v1alpha1.ApiKey{}
		g.Spec.Projects, g.Spec.Capabilities = nil, nil
		key.Namespace, key.Spec.GroupRef.Namespace = rapid.SampledFrom([]string{"tenants", "tenants", "web"}).Draw(t, "namespace"), "tenants"
		key.Spec.Projects, key.Spec.Permissions = projects.Draw(t, "asks projects"), permissions.Draw(t, "asks permissions")
		for _, name := range projects.Draw(t, "has projects") {
			g.Spec.Projects = append(g.Spec.Projects, v1alpha1.Project{Name: name})
		}
		may := []v1alpha1.PermissionName{"read"}
		for _, name := range permissions.Draw(t, "has permissions") {
			g.Spec.Capabilities = append(g.Spec.Capabilities, v1alpha1.Capability{Name: name})
			may = append(may, name)
		}
		granted := grant.Grant(grant.ForKey(key, nil), g)
		n := 0
		for _, name := range key.Spec.Projects {
			want := key.Namespace == "tenants" && slices.Contains(grant.Projects(g), name)
			if slices.Contains(granted.Projects, name) != want {
				t.Fatalf("project %q of %+v", name, granted)
			} else if want {
				n++
			}
		}
		for _, name := range key.Spec.Permissions {
			want := key.Namespace == "tenants" && slices.Contains(may, name)
			if slices.Contains(granted.Permissions, name) != want {
				t.Fatalf("permission %q of %+v", name, granted)
			} else if want {
				n++
			}
		}
		if n != len(granted.Projects)+len(granted.Permissions) {
			t.Fatalf("more is granted than was asked: %+v", granted)
		}
		if all := n == len(key.Spec.Projects)+len(key.Spec.Permissions) && key.Namespace == "tenants"; (granted.Problem == nil) != all ||
			granted.Partly() && all {
			t.Fatalf("%+v", granted)
		}
	})
}
