package decision

import (
	"slices"

	"github.com/keyward-dev/keyward/internal/routing"
)

// Claims is a Snapshot that knows who claims a request which has no key to say whose it is. See docs/design/0040-public-paths.md.
type Claims interface {
	// Claiming returns the groups that may own requests for a host, in canonical form, or all that have the project that a gateway
	// has named: first those that name the host, or have the project, and then those with routes for any host, of which some
	// may be among the first. It returns nothing if none of them has public paths, or if they are too many.
	Claiming(host, project string) (named, others []*Group)
}

// publicWork bounds the work of finding out whose a request without a key is, in the units of package routing. It is enough for
// the largest group, and takes a fraction of a millisecond.
const publicWork = 1 << 16

// strictest is how paths are read that need no key, beside the Reading of the request: regardless of what the content server ignores, or
// cuts off, the path must not be that of another project.
var strictest = routing.Reading{IgnoreCase: true}

// keyless decides a request without a key.
func (e *evaluation) keyless(snapshot Snapshot) Code {
	claims, ok := snapshot.(Claims)
	if !ok || e.request.AboutKey || !slices.Contains(publicMethods, e.routing.Method) {
		return KeyMissing
	}
	named, others := claims.Claiming(e.routing.Host, e.request.TrustedProject)
	if len(named)+len(others) == 0 {
		return KeyMissing
	}
	return e.public(named, others)
}

var publicMethods = routing.PublicMethods()

// noKeys is the scope of a request that needs no key.
var noKeys = &Scope{}

// public decides whether the request needs no key: it has to be clear whose it is, by the Reading of the request and by the
// strictest one, and its project has to say so.
func (e *evaluation) public(named, others []*Group) Code {
	e.routing.Bound(publicWork)
	if !e.mayOpen(named) && !e.mayOpen(others) {
		return KeyMissing // as most paths do
	}
	group, project := e.claimant(named, others)
	if group == nil || group.State != Active || !project.opens(&e.routing) {
		return KeyMissing
	}
	path, err := strictest.Path(e.request.Path)
	if err != nil {
		return KeyMissing
	}
	e.routing.Path, e.routing.IgnoreCase = path, true
	if _, alike := e.claimant(named, others); alike != project || e.routing.Exhausted() {
		return KeyMissing
	}
	e.match.Group, e.match.Key.Scope, e.project = group, noKeys, project
	return Public
}

// mayOpen reports whether a project of the groups has a public path that covers the request, whoever owns it.
func (e *evaluation) mayOpen(groups []*Group) bool {
	for _, group := range groups {
		if !group.HasPublic {
			continue
		}
		for i := range group.Projects {
			if group.Projects[i].opens(&e.routing) {
				return true
			}
		}
	}
	return false
}

// opens reports whether a public path of the project covers the request.
func (p *Project) opens(request *routing.Request) bool {
	for i := range p.Public {
		if p.Public[i].Grants(request) {
			return true
		}
	}
	return false
}

// claimant returns the only group, with its project, that claims the request: by a route that names the host or, if no group has
// one, by any other. Two groups that claim it, two projects that tie, a query that can be read in several ways, and more work
// than is allowed leave it unclear whose it is.
func (e *evaluation) claimant(named, others []*Group) (*Group, *Project) {
	found := claim{}
	if !e.search(&found, named) || !found.byHost && !e.search(&found, others) || found.several || e.ties(&found) {
		return nil, nil
	}
	return found.group, found.project
}

// claim is the best claim on a request that was found.
type claim struct {
	group   *Group
	project *Project
	rank    routing.Rank
	byHost  bool // the route names the host
	several bool // another group has one that is as good
}

// search looks for better claims. It returns false if it cannot be known which is the best.
func (e *evaluation) search(found *claim, groups []*Group) (known bool) {
	for _, group := range groups {
		if group == found.group {
			continue
		}
		e.routing.Spend(groupWork)
		e.doubtful = false
		project, rank := e.rankIn(group)
		if e.doubtful || e.routing.Exhausted() {
			return false
		}
		switch byHost := rank.NamesHost(); {
		case project == nil:
		case found.group == nil || byHost && !found.byHost:
			*found = claim{group: group, project: project, rank: rank, byHost: byHost}
		case byHost == found.byHost:
			found.several = true
		}
	}
	return true
}

// ties reports whether another project of the group owns the request as much as the one that comes first by its name.
func (e *evaluation) ties(found *claim) bool {
	if found.group == nil || e.request.TrustedProject != "" {
		return false
	}
	for i := range found.group.Projects {
		other := &found.group.Projects[i]
		if other == found.project {
			continue
		}
		if rank, owns := other.owns(&e.routing); owns && rank.Compare(found.rank) == 0 {
			return true
		}
	}
	_, _ = e.routing.TakeDoubt() // it was of lower rank, or rankIn would have found it
	return e.routing.Exhausted()
}

// Charged returns the group whose quotas the request, and the response to it, count in: none if it is denied or has no key.
func (d *Decision) Charged() *Group {
	if d.Code == Allowed {
		return d.Group
	}
	return nil
}
