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

// maxHostPairs is how many pairs of hosts are compared for one warning.
const maxHostPairs = 1 << 20

// PublicWarnings says what keeps public paths of the Group from being public, or makes more of it public than may be meant. Others
// are all Groups. It does not say which of them are in the way: who writes this Group may not be allowed to know.
func PublicWarnings(group *v1alpha1.Group, others []v1alpha1.Group) (warnings []string) {
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
		hosts, anyHost := hostsOf(project.Routes)
		switch host := sharedHost(group, hosts, others); {
		case len(project.Routes) == 0:
			warn("project %s has no routes: without a key a request is this project's only where the gateway names the project, and only on "+
				"validation servers without another Group that has a project of that name", project.Name)
		case host != "":
			warn("another Group has routes for %s, too: on validation servers that serve both, nothing there is public, because nobody can tell "+
				"whose a request without a key is; give each Group hosts of its own", host)
		case anyHost && otherGroups(group, others):
			warn("project %s has routes without hosts: on validation servers that serve another Group with such routes, or one without projects, "+
				"nothing is public that both own, because nobody can tell whose a request without a key is; name the hosts", project.Name)
		}
	}
	return warnings
}

// hostsOf returns the hosts of routes, and whether one is for any host.
func hostsOf(routes []v1alpha1.Route) (hosts []string, anyHost bool) {
	for i := range routes {
		hosts = append(hosts, routes[i].Hosts...)
		anyHost = anyHost || len(routes[i].Hosts) == 0
	}
	return hosts, anyHost
}

// sharedHost returns a host for which another Group has routes, too.
func sharedHost(group *v1alpha1.Group, hosts []string, others []v1alpha1.Group) string {
	left := maxHostPairs
	for i := range others {
		if isSame(group, &others[i]) {
			continue
		}
		for j := range others[i].Spec.Projects {
			theirs, _ := hostsOf(others[i].Spec.Projects[j].Routes)
			if left -= len(theirs) * len(hosts); left < 0 {
				return ""
			}
			for _, host := range hosts {
				if slices.ContainsFunc(theirs, func(other string) bool { return hostsMeet(host, other) }) {
					return host
				}
			}
		}
	}
	return ""
}

// hostsMeet reports whether some host matches both patterns.
func hostsMeet(a, b string) bool {
	wideA, wildA := strings.CutPrefix(a, "*")
	wideB, wildB := strings.CutPrefix(b, "*")
	return a == b || wildA && strings.HasSuffix(wideB, wideA) || wildB && strings.HasSuffix(wideA, wideB)
}

// otherGroups reports whether another Group owns requests for any host.
func otherGroups(group *v1alpha1.Group, others []v1alpha1.Group) bool {
	return slices.ContainsFunc(others, func(other v1alpha1.Group) bool {
		if isSame(group, &other) {
			return false
		}
		return len(other.Spec.Projects) == 0 || slices.ContainsFunc(other.Spec.Projects, func(p v1alpha1.Project) bool {
			_, anyHost := hostsOf(p.Routes)
			return anyHost
		})
	})
}

func isSame(a, b *v1alpha1.Group) bool { return a.Namespace == b.Namespace && a.Name == b.Name }
