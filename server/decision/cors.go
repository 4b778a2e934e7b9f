package decision

import (
	"net/http"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/internal/origin"
)

// preflight begins to decide a request that carries no key, on purpose: whether it is of any use
// to send the real one. That one is decided on its own. Finish searches for who allows it.
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

// mayRead tells whether the origin of the request may read an answer: that is up to the
// project that owns the request, or as far as that is not known, to those that may be it. It
// leaves that unread where the groups of others have to be searched for it.
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
		return e.project.Origins.allow(from), false
	case e.match.Group != nil:
		return e.match.Group.Allows(from), false
	case code == PathTooLong, code == HostInvalid, code == PathAmbiguous, code == QueryAmbiguous:
		return isKnown(snapshot, from), false
	default:
		return false, true
	}
}

// isKnown tells whether any group allows the origin, without asking a group about the request.
func isKnown(snapshot Snapshot, from origin.Origin) bool {
	found, tooMany := snapshot.Allowing(from, func(*Group) bool { return true })
	return found || tooMany
}

// Unfinished reports whether the groups of others have to be searched, which Finish does.
func (d *Decision) Unfinished() bool { return d.unread }

// Finish finds out whether pages of the request's origin may read the answer, and of a preflight
// whether it is allowed, where Begin has left that. It searches the groups that allow the origin
// for one that owns the request, or without a search is content with any of them: for clients
// who are not worth it. It returns the work that was spent, at most SearchWork.
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
	if search {
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
	// SearchWork bounds the work of asking groups about one request, in the units of package
	// routing: less than a millisecond, whatever their owners have written into them.
	SearchWork = 1 << 17
	// groupWork is what it takes to fetch a group from memory.
	groupWork = 32
)

// openTo asks all groups for a project that owns the request and allows its origin, and
// whether any key of such a group may permit the method. Where so many groups allow an
// origin, or have such routes, that asking each would take long, it is allowed: no more follows
// from it than that a browser sends a request, or reads why it was denied.
func (e *evaluation) openTo(snapshot Snapshot, from origin.Origin) (allowed, method bool, spent int) {
	asking := *e // a copy, so that only here an evaluation is on the heap
	asking.routing.Bound(SearchWork)
	unspent := asking.routing.Spent()
	found, tooMany := snapshot.Allowing(from, func(group *Group) bool {
		asking.doubtful = false
		asking.routing.Spend(groupWork)
		owner := asking.ownerIn(group)
		if owner != nil {
			asking.routing.Spend(owner.Origins.work())
		}
		if asking.routing.Exhausted() {
			return true
		}
		if owner == nil || !owner.Origins.allow(from) {
			return false
		}
		allowed = true
		return asking.readOnly() || slices.ContainsFunc(group.Capabilities, func(c Capability) bool {
			asking.routing.Spend(projectWork)
			return c.covers(&asking.routing)
		}) || asking.routing.Exhausted()
	})
	return allowed || found || tooMany, found || tooMany, min(asking.routing.Spent()-unspent, SearchWork)
}

// readOnly tells whether the permission to read covers the method.
func (e *evaluation) readOnly() bool {
	return e.routing.Method == http.MethodGet || e.routing.Method == http.MethodHead
}

// Allows tells whether any project of the group allows the origin.
func (g *Group) Allows(from origin.Origin) bool {
	return slices.ContainsFunc(g.Projects, func(p Project) bool { return p.Origins.allow(from) })
}
