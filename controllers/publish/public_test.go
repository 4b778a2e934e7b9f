package publish_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// TestPublicPaths: they are published with their project, and with routes that are too large none of either.
func TestPublicPaths(t *testing.T) {
	group := &v1alpha1.Group{Spec: v1alpha1.GroupSpec{Projects: []v1alpha1.Project{
		{Name: "admin", Routes: []v1alpha1.Route{{Paths: []string{"/admin/**"}}}},
		{Name: "web", Routes: []v1alpha1.Route{{Hosts: []string{"www.acme.com"}}}, Public: []string{"/robots.txt", "/.well-known/**"}},
	}}}
	projects := publish.GroupRecord(group, nil).GetProjects()
	if len(projects[0].GetPublicPaths()) != 0 || !slices.Equal(projects[1].GetPublicPaths(), group.Spec.Projects[1].Public) {
		t.Errorf("%v", projects)
	}
	for range 80 {
		group.Spec.Projects[0].Public = append(group.Spec.Projects[0].Public, "/"+strings.Repeat("a", 1000))
	}
	for _, project := range publish.GroupRecord(group, nil).GetProjects() {
		if len(project.GetPublicPaths())+len(project.GetRoutes()) > 0 {
			t.Errorf("too large, and published: %v", project)
		}
	}
}
