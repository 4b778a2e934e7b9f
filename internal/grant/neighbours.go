package grant

import (
	"strings"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// maxLooks bounds what is looked at of other Groups for the warnings of one: their routes and hosts, and each host once more for each
// project with public paths. Whoever writes a Group waits for that, and the Groups are as many and as large as others like. Beyond it
// nothing is looked at any more: a warning that is missing changes nothing about what is public.
const maxLooks = 1 << 17

// usualHost is how long hosts usually are: a longer one counts for several.
const usualHost = 32

// neighbours is what other Groups have in common with one.
type neighbours struct {
	shared  map[int]string // by project with public paths: a host of its routes for which another Group has routes, too
	anyHost bool           // another Group owns requests for any host
}

// neighboursOf looks at each of the others once.
func neighboursOf(group *v1alpha1.Group, others []v1alpha1.Group) (near neighbours) {
	near.shared = map[int]string{}
	wanted, anyHost := map[int]hostIndex{}, false
	for i := range group.Spec.Projects {
		project := &group.Spec.Projects[i]
		if len(project.Public) == 0 {
			continue
		}
		anyHost = anyHost || isForAnyHost(project)
		if index := indexHosts(project.Routes); len(index) > 0 {
			wanted[i] = index
		}
	}
	left := maxLooks
	for i := range others {
		if left < 0 || len(wanted) == 0 && (near.anyHost || !anyHost) {
			break
		}
		if left--; isSame(group, &others[i]) {
			continue
		}
		projects := others[i].Spec.Projects
		near.anyHost = near.anyHost || len(projects) == 0
		for j := range projects {
			left -= near.meet(wanted, projects[j].Routes)
		}
	}
	return near
}

// meet compares the routes of a project with what is wanted, of which it removes what it has found. It returns how much it has looked at.
func (n *neighbours) meet(wanted map[int]hostIndex, routes []v1alpha1.Route) (looks int) {
	for i := range routes {
		looks++
		n.anyHost = n.anyHost || len(routes[i].Hosts) == 0
		for _, theirs := range routes[i].Hosts {
			looks += (1 + len(wanted)) * (1 + len(theirs)/usualHost)
			for project, index := range wanted {
				if host := index.meeting(theirs); host != "" {
					n.shared[project] = host
					delete(wanted, project)
				}
			}
		}
	}
	return looks
}

// isForAnyHost reports whether a route of the project is for any host.
func isForAnyHost(project *v1alpha1.Project) bool {
	for i := range project.Routes {
		if len(project.Routes[i].Hosts) == 0 {
			return true
		}
	}
	return false
}

// hostIndex finds hosts that meet another: in as many steps as that has labels, however many hosts there are. It has each host under its
// own text and, with a '.' in front of what is left of it, under everything that a wildcard above it ends with.
type hostIndex map[string]string

func indexHosts(routes []v1alpha1.Route) hostIndex {
	index := hostIndex{}
	add := func(as, host string) {
		if index[as] == "" {
			index[as] = host
		}
	}
	for i := range routes {
		for _, host := range routes[i].Hosts {
			add(host, host)
			for suffix := range suffixes(host) {
				add(suffix, host)
			}
		}
	}
	return index
}

// meeting returns a host of the index such that some host matches both; "" if there is none.
func (x hostIndex) meeting(other string) string {
	if host := x[other]; host != "" {
		return host
	}
	if wide, wild := strings.CutPrefix(other, "*"); wild { // hosts below it
		if host := x[wide]; host != "" {
			return host
		}
	}
	for suffix := range suffixes(other) { // wildcards above it
		if host := x["*"+suffix]; host != "" {
			return host
		}
	}
	return ""
}

// suffixes returns what wildcards end with that match a host, or other wildcards within that are for all hosts of it: of a.b.c, and of *.b.c,
// these are .b.c and .c.
func suffixes(host string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			at := strings.IndexByte(host, '.')
			if at < 0 || !yield(host[at:]) {
				return
			}
			host = host[at+1:]
		}
	}
}
