package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// projectsOf are projects with the numbers of routes and of patterns, which a function of three numbers makes.
func projectsOf(projects, routes, patterns int, pattern func(project, route, i int) string) []v1alpha1.Project {
	var all []v1alpha1.Project
	for p := range projects {
		project := v1alpha1.Project{Name: v1alpha1.ProjectName(fmt.Sprintf("p%02d", p))}
		for r := range routes {
			var paths []string
			for i := range patterns {
				paths = append(paths, pattern(p, r, i))
			}
			project.Routes = append(project.Routes, v1alpha1.Route{Paths: paths})
		}
		all = append(all, project)
	}
	return all
}

// neverTie are patterns whose numbers of literals differ from project to project.
func neverTie(projects int) func(project, route, i int) string {
	return func(project, route, i int) string {
		letters := "abcdefghij"
		word := strings.Repeat(letters[(route+i)%10:][:1], 4) + letters[route%10:][:1] + letters[(3*i)%10:][:1]
		return "/*" + word + strings.Repeat(letters[route/10:][:1], (projects-len(word)%projects+project)%projects) + "*"
	}
}

// nearlyTie are patterns of one rank that no path matches on both sides.
func nearlyTie(project, route, i int) string {
	return fmt.Sprintf("/*a*b*%c*%c*%s", 'c'+route%20, 'c'+(route+7*i)%20,
		[]string{"x", "y", "z", "w", "v", "u", "t", "s", "r", "q", "p", "o", "n", "m", "l", "k"}[project])
}

// TestComparingRoutesIsBounded: with any routes a Group takes about 50 ms, and its condition says that not all were compared.
func TestComparingRoutesIsBounded(t *testing.T) {
	const generous = 2 * time.Second // for slow machines and race detectors; without a bound it is 18 s to 11 min
	for name, c := range map[string]struct {
		projects []v1alpha1.Project
		complete bool
	}{
		"2 x 32 x 3":                 {projectsOf(2, 32, 3, neverTie(2)), true},
		"16 x 32 x 2":                {projectsOf(16, 32, 2, neverTie(16)), true},
		"2 x 32 x 3, of one rank":    {projectsOf(2, 32, 3, nearlyTie), false},
		"16 x 32 x 2, of one rank":   {projectsOf(16, 32, 2, nearlyTie), false},
		"16 x 32, as they should be": {projectsOf(16, 32, 2, func(p, r, i int) string { return fmt.Sprintf("/p%02d/%d/%d/**", p, r, i) }), true},
		"as many as there can be":    {projectsOf(64, 32, 1, func(p, r, _ int) string { return fmt.Sprintf("/p%02d/%02d/*", p, r) }), false},
		"as many patterns as can be": {projectsOf(64, 1, 32, func(p, _, i int) string { return fmt.Sprintf("/p%02d/%02d/*", p, i) }), true},
	} {
		begun := time.Now()
		found, complete := overlaps(c.projects)
		if took := time.Since(begun); took > generous {
			t.Errorf("%s: it takes %v", name, took)
		}
		if len(found) != 0 || complete != c.complete {
			t.Errorf("%s: found %v, complete %v", name, found, complete)
		}
		if _, message := describeOverlaps(found, complete); complete == strings.Contains(message, "too many") {
			t.Errorf("%s: %s", name, message)
		}
	}
}

func TestOverlapsAreNamed(t *testing.T) {
	found, complete := overlaps(projectsOf(3, 2, 1, func(_, r, _ int) string { return fmt.Sprintf("/r%d/**", r) }))
	if len(found) != maxNamed || complete || found[0] != "spec.projects[0].routes[0] (p00) and spec.projects[1].routes[0] (p01)" {
		t.Errorf("found %q, complete %v", found, complete)
	}
}

// BenchmarkOverlaps is the search in the Group for which it takes longest.
func BenchmarkOverlaps(b *testing.B) {
	projects := projectsOf(16, 32, 2, nearlyTie)
	for b.Loop() {
		overlaps(projects)
	}
}
