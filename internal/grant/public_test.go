package grant_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// site is a Group with one project, whose routes are for one host each, where "" is any.
func site(name string, public []string, hosts ...string) *v1alpha1.Group {
	project := v1alpha1.Project{Name: "web", Public: public}
	for _, host := range hosts {
		route := v1alpha1.Route{Paths: []string{"/**"}}
		if host != "" {
			route.Hosts = []string{host}
		}
		project.Routes = append(project.Routes, route)
	}
	return &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name},
		Spec: v1alpha1.GroupSpec{Projects: []v1alpha1.Project{project}}}
}

func TestPublicPathsAreChecked(t *testing.T) {
	group := site("acme", []string{"/robots.txt", "robots.txt", "/a/../b", "/.well-known/**", "/a%2fb", "/**/x", "/a?b"}, "acme.example")
	got := grant.GroupProblems(group)
	fields := []string{}
	for _, problem := range got {
		fields = append(fields, problem.Field)
	}
	want := "spec.projects[0].public[1] spec.projects[0].public[2] spec.projects[0].public[4] spec.projects[0].public[5] spec.projects[0].public[6]"
	if strings.Join(fields, " ") != want {
		t.Errorf("problems with %v, want %s", fields, want)
	}
	if message := got.First().Error(); !strings.Contains(message, "a path starts with '/'") {
		t.Errorf("no hint in %q", message)
	}
	for range 2000 {
		group.Spec.Projects[0].Public = append(group.Spec.Projects[0].Public, "/some/path/that/is/public")
	}
	if !grant.RoutesTooLarge(group) {
		t.Error("public paths have no bound")
	}
}

func TestPublicWarnings(t *testing.T) {
	robots := []string{"/robots.txt"}
	implicit := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "implicit"}}
	for _, c := range []struct {
		name  string
		group *v1alpha1.Group
		other *v1alpha1.Group
		want  string // in the only warning; "" is none
	}{
		{"nothing public", site("acme", nil, ""), implicit, ""},
		{"hosts of its own", site("acme", robots, "acme.example", "*.acme.example"), site("other", nil, "other.example", "acme.example.com", ""), ""},
		{"itself", site("acme", robots, "acme.example"), site("acme", robots, "acme.example"), ""},
		{"everything", site("acme", []string{"/**"}, "acme.example"), implicit, "all of project web needs no key"},
		{"no routes", site("acme", robots), implicit, "has no routes"},
		{"the same host", site("acme", robots, "acme.example"), site("other", nil, "acme.example"), "another Group has routes for acme.example"},
		{"below its wildcard", site("acme", robots, "*.acme.example"), site("other", nil, "www.acme.example"), "another Group has routes for *.acme.example"},
		{"below another's wildcard", site("acme", robots, "www.acme.example"), site("other", nil, "*.example"), "another Group has routes for www.acme.example"},
		{"wildcards within each other", site("acme", robots, "*.www.acme.example"), site("other", nil, "*.acme.example"), "another Group has routes for"},
		{"any host, and one without projects", site("acme", robots, ""), implicit, "name the hosts"},
		{"any host, twice", site("acme", robots, ""), site("other", nil, ""), "name the hosts"},
		{"any host, alone", site("acme", robots, ""), site("other", nil, "other.example"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := grant.PublicWarnings(c.group, []v1alpha1.Group{*c.group, *c.other})
			switch {
			case c.want == "" && len(got) > 0, c.want != "" && len(got) != 1:
				t.Errorf("warnings %q", got)
			case c.want != "" && (!strings.Contains(got[0], c.want) || !strings.HasPrefix(got[0], "spec.projects[0].public: ")):
				t.Errorf("%q, want %q", got[0], c.want)
			case strings.Contains(strings.Join(got, ""), "other"+"/") || strings.Contains(strings.Join(got, ""), "implicit"):
				t.Errorf("it names the other Group: %q", got)
			}
		})
	}
}
