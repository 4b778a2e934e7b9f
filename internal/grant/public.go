package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/routing"
)

func (p Problems) addPublic(owner string, paths []string) Problems {
	for i, path := range paths {
		if p.full() {
			break
		}
		for _, wrong := range routing.Check(routing.Public(path), 1) {
			p = append(p, invalid(fmt.Sprintf("%s[%d]", owner, i), wrong.Value, wrong.Message))
		}
	}
	return p
}

// HasPublic reports whether a project of the Group has public paths.
func HasPublic(group *v1alpha1.Group) bool {
	return slices.ContainsFunc(group.Spec.Projects, func(p v1alpha1.Project) bool { return len(p.Public) > 0 })
}

// PublicWarnings says what keeps public paths of the Group from being public, or makes more of it public than may be meant. Others
// are all Groups, or some of them. It does not say which of them are in the way: who writes this Group may not be allowed to know.
func PublicWarnings(group *v1alpha1.Group, others []v1alpha1.Group) (warnings []string) {
	near := neighboursOf(group, others)
	for i := range group.Spec.Projects {
		project := &group.Spec.Projects[i]
		if len(project.Public) == 0 {
			continue
		}
		warn := func(format string, values ...any) {
			warnings = append(warnings, fmt.Sprintf("spec.projects[%d].public: ", i)+fmt.Sprintf(format, values...))
		}
		if slices.Contains(project.Public, "/**") {
			warn("with /** all of project %s needs no key", project.Name)
		}
		if path := unrouted(project); path != "" {
			warn("no route of project %s matches %s: the request is not the project's, so it needs a key; add a route for it", project.Name, path)
		}
		host, anyHost := near.shared[i], isForAnyHost(project)
		switch {
		case len(project.Routes) == 0:
			warn("project %s has no routes: without a key a request is this project's only where the gateway names the project, and only on "+
				"validation servers without another Group that has a project of that name", project.Name)
		case host != "":
			warn("another Group has routes for %s, too: on validation servers that serve both, nothing there is public, because nobody can tell "+
				"whose a request without a key is; give each Group hosts of its own", host)
		case anyHost && near.anyHost:
			warn("project %s has routes without hosts: on validation servers that serve another Group with such routes, or one without projects, "+
				"nothing is public that both own, because nobody can tell whose a request without a key is; name the hosts", project.Name)
		}
	}
	return warnings
}

// unrouted returns a public path that no route of the project has; "" if there is none, or the project has no routes. It looks at literal
// paths only: a pattern may meet a route somewhere.
func unrouted(project *v1alpha1.Project) string {
	for _, path := range project.Public {
		if len(project.Routes) > 0 && !strings.Contains(path, "*") && !slices.ContainsFunc(project.Routes, func(route v1alpha1.Route) bool {
			return len(route.Paths) == 0 || owns(route.Paths, path)
		}) {
			return path
		}
	}
	return ""
}

func owns(paths []string, path string) bool {
	matcher, err := routing.Compile(routing.Route{Paths: paths})
	if err != nil {
		return true // another problem says so
	}
	request := &routing.Request{Path: path}
	_, is := matcher.Match(request)
	return is || request.Exhausted()
}

func isSame(a, b *v1alpha1.Group) bool { return a.Namespace == b.Namespace && a.Name == b.Name }
