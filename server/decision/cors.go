package decision

import (
	"net/http"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/internal/origin"
)

// preflight begins to decide a preflight, which never carries a key: whether the browser may send the actual request. That
// one is decided on its own. Finish searches for a group that allows it.
func (e *evaluation) preflight(snapshot Snapshot, now time.Time) Decision {
	health := snapshot.Health(now)
	switch {
	case health == TooStale:
		return Decision{Code: Stale}
	case health != Synced:
		return Decision{Code: NotSynced}
	}
	if code := e.read(); code != Allowed {
		allowed, _ := e.mayRead(snapshot, code)
		return Decision{Code: code, OriginAllowed: allowed}
	}
	if _, err := origin.Parse(e.request.Origin); err != nil {
		return Decision{Code: OriginDenied}
	}
	return Decision{Code: Preflight, unread: true}
}

// mayRead reports whether the origin of the request may read the response. The project that owns the request decides that
// or, if it is not known, the projects that may own it. mayRead returns unread if other groups have to be searched for
// them.
func (e *evaluation) mayRead(snapshot Snapshot, code Code) (allowed, unread bool) {
	switch code {
	case Allowed, PermissionDenied: // the origin has been checked
		return true, false
	case NotSynced, Stale, OriginMissing, OriginDenied:
		return false, false
	}
	from, err := origin.Parse(e.request.Origin)
	if err != nil {
		return false, false
	}
	switch {
	case e.project != nil:
		return e.project.Origins.Allows(from), false
	case e.match.Group != nil:
		return e.match.Group.Allows(from), false
	case code == PathTooLong, code == HostInvalid, code == PathAmbiguous, code == QueryAmbiguous:
		return isKnown(snapshot, from), false
	default:
		return false, true
	}
}

// isKnown reports whether any group allows the origin, without evaluating the request.
func isKnown(snapshot Snapshot, from origin.Origin) bool {
	found, tooMany := snapshot.Allowing(from, func(*Group) bool { return true })
	return found || tooMany
}

// Unfinished reports whether other groups have to be searched, which Finish does.
func (d *Decision) Unfinished() bool { return d.unread }

// Finish finds out whether pages of the request's origin may read the response, and whether a preflight is allowed, if
// Begin has left that undecided. It searches the groups that allow the origin for one that owns the request. Without a
// search, for clients that have used up their budget, any group that allows the origin is enough, as it is for a request
// about a key. It returns the work that was spent, at most SearchWork.
func (d *Decision) Finish(snapshot Snapshot, request *Request, search bool) (spent int) {
	if !d.unread {
		return 0
	}
	d.unread = false
	from, err := origin.Parse(request.Origin)
	if err != nil {
		return 0
	}
	method := false
	if search && !request.AboutKey {
		e := evaluation{request: request}
		if e.read() == Allowed {
			if d.Code == Preflight {
				e.routing.Method = request.PreflightMethod
			}
			d.OriginAllowed, method, spent = e.openTo(snapshot, from)
		}
	} else {
		d.OriginAllowed = isKnown(snapshot, from)
		method = d.OriginAllowed
	}
	if d.Code == Preflight {
		d.MethodAllowed = method
		if !d.OriginAllowed {
			d.Code = OriginDenied
		}
	}
	return spent
}

const (
	// SearchWork bounds the work of searching groups for one request, in the units of package routing: less than a
	// millisecond, for any routes that their owners may have written.
	SearchWork = 1 << 17
	// groupWork is the work of fetching a group from memory.
	groupWork = 32
)

// openTo searches all groups for a project that owns the request and allows its origin, and finds out whether any key of
// such a group may permit the method. If too many groups allow an origin, or their routes take too much work, the origin is
// allowed: the only consequence is that a browser sends a request, or reads why it was denied.
func (e *evaluation) openTo(snapshot Snapshot, from origin.Origin) (allowed, method bool, spent int) {
	searching := *e // a copy, so that an evaluation is on the heap only here
	searching.routing.Bound(SearchWork)
	unspent := searching.routing.Spent()
	found, tooMany := snapshot.Allowing(from, func(group *Group) bool {
		searching.doubtful = false
		searching.routing.Spend(groupWork)
		owner := searching.ownerIn(group)
		if owner != nil {
			searching.routing.Spend(owner.Origins.work())
		}
		if searching.routing.Exhausted() {
			return true
		}
		if owner == nil || !owner.Origins.Allows(from) {
			return false
		}
		allowed = true
		return searching.readOnly() || slices.ContainsFunc(group.Capabilities, func(c Capability) bool {
			searching.routing.Spend(projectWork)
			return c.covers(&searching.routing)
		}) || searching.routing.Exhausted()
	})
	return allowed || found || tooMany, found || tooMany, min(searching.routing.Spent()-unspent, SearchWork)
}

// readOnly reports whether the permission to read covers the method.
func (e *evaluation) readOnly() bool {
	return e.routing.Method == http.MethodGet || e.routing.Method == http.MethodHead
}

// Allows reports whether any project of the group allows the origin.
func (g *Group) Allows(from origin.Origin) bool {
	return slices.ContainsFunc(g.Projects, func(p Project) bool { return p.Origins.Allows(from) })
}
