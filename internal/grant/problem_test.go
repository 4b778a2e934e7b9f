package grant_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// problemTexts are the problems as admission reports them, cut to the length that is compared.
func problemTexts(problems grant.Problems) []string {
	var texts []string
	for _, e := range problems.ErrorList() {
		text := e.Error()
		texts = append(texts, text[:min(len(text), 100)])
	}
	return texts
}

func TestAllProblemsOfAGroup(t *testing.T) {
	of := &v1alpha1.Group{Spec: v1alpha1.GroupSpec{
		KeyPolicy: v1alpha1.KeyPolicy{DefaultLifetime: "soon", MaxLifetime: "0s"},
		Limits:    v1alpha1.Limits{BytesPerMonth: new(resource.MustParse("500m"))},
		Projects: []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{
			{Hosts: []string{"cdn.acme.com", "256.1.1.1", "a:1"}, Paths: []string{"/a/**/b", "/ok", "/x//y"}}, {Paths: []string{"/ok"}}, {},
		}}},
		Capabilities: []v1alpha1.Capability{{Name: "c", Routes: []v1alpha1.Route{{Paths: []string{"/**/c"}}}}},
		AllowedNamespaces: v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}},
		}},
	}}
	problems := grant.GroupProblems(of)
	want := []string{
		`spec.keyPolicy.defaultLifetime: Invalid value: "soon": `,
		`spec.keyPolicy.maxLifetime: Invalid value: "0s": a key lives at least 1s; write a longer lifetime`,
		`spec.limits.bytesPerMonth: Invalid value: "500m": write a whole number of bytes`,
		`spec.projects[0].routes[0].hosts[1]: Invalid value: "256.1.1.1": a host has letters`,
		`spec.projects[0].routes[0].hosts[2]: Invalid value: "a:1": leave out the port`,
		`spec.projects[0].routes[0].paths[0]: Invalid value: "/a/**/b": `,
		`spec.projects[0].routes[0].paths[2]: Invalid value: "/x//y": `,
		`spec.projects[0].routes[2]: Invalid value: the route is empty`,
		`spec.capabilities[0].routes[0].paths[0]: Invalid value: "/**/c": `,
		`spec.allowedNamespaces.selector: Invalid value: `,
	}
	got := problemTexts(problems)
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	if first := grant.Group(of); first == nil || *first != *problems[0] {
		t.Errorf("the first is %v", first)
	}
}

func TestAllProblemsOfAKey(t *testing.T) {
	key := &v1alpha1.ApiKey{Spec: v1alpha1.ApiKeySpec{
		Projects:    []v1alpha1.ProjectName{"sales", "marketing", "press"},
		Permissions: []v1alpha1.PermissionName{"read", "refund"},
		Rotation:    v1alpha1.Rotation{Every: "1s", Overlap: "-", RetireWhenUnusedFor: "1s"},
	}}
	key.Namespace = "tenants"
	key.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{".env": "{{ .Secret }}", "json": "{{ .Key", "ok": "{{ .Key }}"}

	problems := grant.CheckAll(grant.ForKey(key, nil), group())
	problems = append(problems, grant.RotationProblems(key, group())...)
	problems = append(problems, grant.TemplateProblems(key)...)
	want := []string{
		`spec.projects[0]: Not found: "sales": Group tenants/acme has no project "sales"; it has "marketing",`,
		`spec.projects[2]: Not found: "press": Group tenants/acme has no project "press"; it has "marketing",`,
		`spec.permissions[1]: Unsupported value: "refund": Group tenants/acme has no capability "refund"; key`,
		`spec.rotation.overlap: Invalid value: "-": "-" is not a duration; write for instance 90d, 24h or 15m`,
		`spec.rotation.every: Invalid value: "1s": 1s is too short; write at least 1m0s`,
		`spec.rotation.retireWhenUnusedFor: Invalid value: "1s": 1s is too short; write at least 10s`,
		`spec.secret.template.data[.env]: Invalid value: .Secret is not a field; use .Key, .KeyID, .Name, .Na`,
		`spec.secret.template.data[json]: Invalid value: entry:1: unclosed action`,
	}
	if diff := cmp.Diff(want, problemTexts(problems)); diff != "" {
		t.Error(diff)
	}
	if reasons := []string{problems[0].Reason, problems[2].Reason, problems[3].Reason, problems[6].Reason}; !slices.Equal(reasons, []string{
		v1alpha1.ReasonProjectNotFound, v1alpha1.ReasonPermissionNotFound, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonSecretTemplateInvalid,
	}) {
		t.Errorf("the reasons are %v", reasons)
	}
}

func TestAllProblemsOfAnAllowlist(t *testing.T) {
	list := &v1alpha1.DomainAllowlist{Spec: v1alpha1.DomainAllowlistSpec{Domains: []string{"acme.com", "*", "a b"}}}
	got := problemTexts(grant.DomainProblems(list))
	if len(got) != 2 || !strings.HasPrefix(got[0], `spec.domains[1]: Invalid value: "*": `) ||
		!strings.HasPrefix(got[1], `spec.domains[2]: Invalid value: "a b": `) {
		t.Errorf("got %q", got)
	}
}

// TestOthersLearnNothingOfAGroup: a namespace that a Group does not admit gets no other problem than that.
func TestOthersLearnNothingOfAGroup(t *testing.T) {
	problems := grant.CheckAll(grant.Subject{
		Namespace: "web", GroupRef: v1alpha1.GroupReference{Name: "acme", Namespace: "tenants"},
		Projects: []v1alpha1.ProjectName{"none"}, Permissions: []v1alpha1.PermissionName{"none"},
	}, group())
	if len(problems) != 1 || problems[0].Reason != v1alpha1.ReasonNamespaceNotAllowed || problems.Admitted() {
		t.Errorf("got %v", problems)
	}
}

// TestProblemsAreBounded: the author of an object decides how many problems it has, and how long its texts are.
func TestProblemsAreBounded(t *testing.T) {
	many := group()
	many.Spec.Projects = nil
	for i := range 64 {
		many.Spec.Projects = append(many.Spec.Projects, v1alpha1.Project{Name: v1alpha1.ProjectName(fmt.Sprintf("%s%d",
			strings.Repeat("p", 61), i))})
	}
	long := strings.Repeat("<", 100_000) // which JSON escapes with six characters
	subject := grant.Subject{Namespace: "tenants", Projects: slices.Repeat([]v1alpha1.ProjectName{v1alpha1.ProjectName(long)}, 1000)}
	list := &v1alpha1.DomainAllowlist{Spec: v1alpha1.DomainAllowlistSpec{Domains: slices.Repeat([]string{"*" + long}, 1000)}}
	bad := group()
	bad.Spec.Projects = slices.Repeat([]v1alpha1.Project{{Routes: slices.Repeat([]v1alpha1.Route{{Paths: []string{"/a/**/b"}}}, 32)}}, 64)
	for name, problems := range map[string]grant.Problems{
		"projects": grant.CheckAll(subject, many), "domains": grant.DomainProblems(list), "routes": grant.GroupProblems(bad),
	} {
		errs := problems.ErrorList()
		last := errs[len(errs)-1].Error()
		response, err := json.Marshal(apierrors.NewInvalid(schema.GroupKind{}, "acme", errs).Status())
		if err != nil || len(errs) < 5 || len(errs) > 21 || len(response) > 60<<10 {
			t.Errorf("%s: %d problems, %d bytes, %v", name, len(errs), len(response), err)
		}
		if last != fmt.Sprintf("spec: Invalid value: and more than these %d; fix them first", len(errs)-1) {
			t.Errorf("%s: the last is %q", name, last)
		}
		if len(problems) > 30 {
			t.Errorf("%s: %d problems were collected", name, len(problems))
		}
	}
}
