package decision

import (
	"net/http"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/origin"
)

// preflight decides a request that carries no key, on purpose: whether it is of any use to
// send the real one. That one is decided on its own.
func (e *evaluation) preflight(snapshot Snapshot, now time.Time) Decision {
	health := snapshot.Health(now)
	switch {
	case health == TooStale:
		return Decision{Code: Stale}
	case health != Synced:
		return Decision{Code: NotSynced}
	case !e.readPath():
		return Decision{Code: PathAmbiguous, OriginAllowed: e.mayRead(snapshot, PathAmbiguous)}
	}
	e.routing.Method = e.request.PreflightMethod
	from, err := origin.Parse(e.request.Origin)
	if err != nil {
		return Decision{Code: OriginDenied}
	}
	allowed, method := e.openTo(snapshot, from)
	if !allowed {
		return Decision{Code: OriginDenied}
	}
	return Decision{Code: Preflight, OriginAllowed: true, MethodAllowed: method}
}

// mayRead tells whether the origin of the request may read an answer: that is up to the
// project that owns the request, or as far as that is not known, to those that may be it.
func (e *evaluation) mayRead(snapshot Snapshot, code Code) bool {
	switch code {
	case Allowed, PermissionDenied: // the origin has been checked
		return true
	case NotSynced, Stale, OriginMissing, OriginDenied:
		return false
	}
	from, err := origin.Parse(e.request.Origin)
	if err != nil {
		return false
	}
	switch {
	case e.project != nil:
		return e.project.Origins.allow(from)
	case code == PathAmbiguous:
		found, tooMany := snapshot.Allowing(from, func(*Group) bool { return true })
		return found || tooMany
	case e.match.Group != nil:
		return e.match.Group.Allows(from)
	default:
		allowed, _ := e.openTo(snapshot, from)
		return allowed
	}
}

// openTo asks all groups for a project that owns the request and allows the origin, and
// whether any key of such a group may permit the method. Where so many groups allow an
// origin that asking each would take long, it is allowed: no more follows from it than
// that a browser sends a request, or reads why it was denied.
func (e *evaluation) openTo(snapshot Snapshot, from origin.Origin) (allowed, method bool) {
	asking := *e // a copy, so that only here an evaluation is on the heap
	found, tooMany := snapshot.Allowing(from, func(group *Group) bool {
		owner := asking.ownerIn(group)
		if owner == nil || !owner.Origins.allow(from) {
			return false
		}
		allowed = true
		return asking.readOnly() || slices.ContainsFunc(group.Capabilities, func(c Capability) bool { return c.covers(&asking.routing) })
	})
	return allowed || tooMany, found || tooMany
}

// readOnly tells whether the permission to read covers the method.
func (e *evaluation) readOnly() bool {
	return e.routing.Method == http.MethodGet || e.routing.Method == http.MethodHead
}

// Allows tells whether any project of the group allows the origin.
func (g *Group) Allows(from origin.Origin) bool {
	return slices.ContainsFunc(g.Projects, func(p Project) bool { return p.Origins.allow(from) })
}
