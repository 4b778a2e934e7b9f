package view

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
)

func TestProjects(t *testing.T) {
	whole := page.Projects{Projects: []page.Project{{Name: "default", All: true}}}
	if got := Projects(&v1alpha1.Group{}); !reflect.DeepEqual(got, whole) {
		t.Errorf("without projects: %+v", got)
	}
	group := &v1alpha1.Group{}
	group.Spec.Projects = []v1alpha1.Project{
		{Name: "media", Public: []string{"/robots.txt"}, Routes: []v1alpha1.Route{
			{Hosts: []string{"cdn.acme.example"}, Query: map[string]v1alpha1.QueryValues{"size": {"s", "m"}, "format": {"webp"}}},
			{Methods: []string{"GET"}, Paths: strings.Split("/a,/b,/c,/d,/e,/f,/g,/h,/i,/j", ",")},
		}},
		{Name: "named"},
	}
	group.Spec.Capabilities = []v1alpha1.Capability{{Name: "checkout", Cost: ptr.To[int32](0), Routes: []v1alpha1.Route{{Methods: []string{"POST"}}}}, {Name: "plain"}}
	want := page.Projects{
		Projects: []page.Project{
			{Name: "media", Public: "/robots.txt", Routes: []page.Route{
				{Methods: "any", Hosts: "cdn.acme.example", Paths: "any", Query: "format=webp; size=s, m"},
				{Methods: "GET", Hosts: "any", Paths: "/a, /b, /c, /d, /e, /f, /g, /h and 2 more", Query: "any"},
			}},
			{Name: "named", Routes: []page.Route{}},
		},
		Capabilities: []page.Capability{
			{Name: "checkout", Routes: []page.Route{{Methods: "POST", Hosts: "any", Paths: "any", Query: "any"}}},
			{Name: "plain", Routes: []page.Route{}, Cost: 1},
		},
	}
	if got := Projects(group); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
