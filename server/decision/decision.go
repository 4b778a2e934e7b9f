// Package decision decides whether a request is allowed. It is pure: it has no HTTP, no clock and no state, so the same
// snapshot, request and instant always give the same decision.
package decision

import (
	"net/netip"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// Snapshot is what a validation server knows. It is safe for concurrent use.
type Snapshot interface {
	// Health returns whether the snapshot may be used for decisions.
	Health(now time.Time) Health
	// Find returns the version with the digest, in any state.
	Find(keyformat.Digest) (Match, bool)
	// Allowing calls matches with the groups that have a project which allows the origin, maybe with the same group more
	// than once, and maybe with groups that only allow hosts beside it by a '*' within a label, until matches returns true,
	// and reports whether it did. If there are too many such groups, Allowing calls
	// it with none, and reports that. It holds no lock meanwhile.
	Allowing(from origin.Origin, matches func(*Group) bool) (found, tooMany bool)
}

// Recognizer is a Snapshot that knows some credentials by other digests than the plain ones.
type Recognizer interface {
	// Recognize replaces the digest of a credential by the one that Find knows it by, if that is another: of a Foreign
	// credential, or a WellFormed one that Find does not know. It may be called again with the result.
	Recognize(*Credential)
}

// Health is the state of a snapshot.
type Health uint8

// The states of a snapshot. The zero Health is Unsynced: without data nothing is allowed.
const (
	Unsynced Health = iota
	Synced
	TooStale // and configured to deny requests then
)

// Match is one minted credential, with the key and the group that it belongs to. The data that it points to never changes.
type Match struct {
	Version Version
	Key     Key
	Group   *Group
}

// Request is what is known of a request. It holds no credential, but Referer may have a key, and so may RawQuery and Path if
// KeyDoubt is set: they are never logged.
type Request struct {
	Credential Credential
	Location   Location // where the key was found
	// KeyHeader is the header with the key if that is neither Authorization nor X-Api-Key, which always decide.
	KeyHeader string
	Method    string
	Host      string
	Path      string // percent-encoded, as sent
	RawQuery  string // as sent, without the '?', the parameters of keys and the Token
	Origin    string // the header's value, "" if there is none
	Referer   string // the header's value, "" if there is none

	// FetchSite is the value of the header Sec-Fetch-Site (W3C Fetch Metadata Request Headers), "" if there is none. Pages
	// cannot choose it.
	FetchSite string

	// Token is that of a signed URL, nil if there is none or it cannot be read. See Resolve.
	Token  *urltoken.Token
	claims *urltoken.Claims

	// Address is the client's, without a zone, and not IPv4-mapped; the zero Addr if it is not known.
	Address netip.Addr

	// PreflightMethod is the method that a browser asks about (Access-Control-Request-Method), "" if the request is not a
	// preflight. PreflightHeaders are the names of headers that it wants to send, separated by commas.
	PreflightMethod  string
	PreflightHeaders string

	// KeyDoubt is PathAmbiguous or QueryAmbiguous if it depends on the reader whether the URL has a key.
	KeyDoubt Code
	// KeepsKey is set if nobody can remove a key from the request unless it is in a header.
	KeepsKey bool
	// OwnAuthorization is set if the request's Authorization is for the content server.
	OwnAuthorization bool

	// NeedsHost is set if every request of the protocol has a host. A request without one is denied then: the content
	// server would use a host that was not decided on.
	NeedsHost bool

	// Reading is how content servers interpret paths. It never comes from the client.
	Reading routing.Reading

	// HasCost is set if the application says what the request costs. It is never set by a client.
	HasCost bool
	Cost    uint32

	// AboutKey is set if the request asks about the key itself: no project, route or permission matters.
	AboutKey bool

	// TrustedProject is the project according to the gateway that routed the request here. If it is set, routes are not
	// evaluated. It never comes from the client.
	TrustedProject string
}

// Credential is what is kept of a presented key.
type Credential struct {
	Form   Form
	Digest keyformat.Digest // set if Form is WellFormed or Foreign, see Recognizer, or by Request.Resolve
}

// Form is the form of what was presented.
type Form uint8

// The forms of a presented credential.
const (
	Absent Form = iota
	Malformed
	WellFormed
	// Foreign does not have the form of our keys, but may be a key that was imported.
	Foreign
	// SignedURL is no key, but the Token that one has signed.
	SignedURL
)

// Decision is the result. Key, Group and Project are set as soon as they are known, also when the request is denied.
type Decision struct {
	Code    Code
	Key     Key
	Group   *Group
	Project *Project
	// Location is where the key was found.
	Location Location

	// Version is the one of the key that was presented.
	Version Version
	// OriginAllowed is set if pages of the request's Origin may read the response, allowed or not. It is never set without
	// an Origin, or for an opaque one.
	OriginAllowed bool
	// MethodAllowed is set for a Preflight if there may be keys that permit the method.
	MethodAllowed bool

	// Cost is how many requests of a quota an allowed request counts as.
	Cost uint32

	// unread is set while OriginAllowed, and with it the result of a Preflight, has yet to be found out by a search of all
	// groups.
	unread bool
}

// Allowed reports whether the request is allowed, with a key or, if its Code is Public, without.
func (d Decision) Allowed() bool { return d.Code.Allows() }

// Retiring reports whether the version of the key has a successor, and is accepted during their overlap only.
func (d *Decision) Retiring() bool { return d.Version.RetiresAtMillis != 0 }

// Decide decides the request as of now. The order of the checks is part of the interface: the first one that fails is the result.
func Decide(snapshot Snapshot, request *Request, now time.Time) Decision {
	d := Begin(snapshot, request, now)
	d.Finish(snapshot, request, true)
	return d
}

// Begin decides the request, except for whether a preflight is allowed, or pages may read a denial, if other groups have to
// be searched for that. Finish finds that out.
func Begin(snapshot Snapshot, request *Request, now time.Time) Decision {
	e := evaluation{request: request, nowMillis: now.UnixMilli()}
	if request.PreflightMethod != "" {
		return e.preflight(snapshot, now)
	}
	code := e.verdict(snapshot, now)
	d := Decision{
		Code: code, Key: e.match.Key, Group: e.match.Group, Project: e.project, Version: e.match.Version, Location: request.Location,
	}
	if code == Allowed {
		d.Cost = e.cost()
	}
	if request.Origin != "" {
		d.OriginAllowed, d.unread = e.mayRead(snapshot, code)
	}
	return d
}

// evaluation is the state of one decision while it is made.
type evaluation struct {
	request   *Request
	nowMillis int64
	routing   routing.Request
	match     Match
	project   *Project
	doubtful  bool // there is no project, because it depends on how the query is interpreted
}

// verdict is the table of checks; the first failure is the result. It is a switch, not a list of functions, so that the
// evaluation stays on the stack.
func (e *evaluation) verdict(snapshot Snapshot, now time.Time) Code {
	health := snapshot.Health(now)
	switch {
	case health == TooStale:
		return Stale
	case health != Synced:
		return NotSynced
	}
	if code := e.read(); code != Allowed {
		return code
	}
	switch {
	case e.request.Credential.Form == Absent:
		return e.keyless(snapshot)
	case e.request.Credential.Form == SignedURL && e.request.claims == nil:
		return URLInvalid
	case e.request.Credential.Form > SignedURL || e.request.Credential.Form == Malformed:
		return KeyMalformed
	case !e.find(snapshot):
		return e.unknown()
	case e.match.Version.Revoked:
		return KeyRevoked
	case isOver(e.match.Version.ExpiresAtMillis, e.nowMillis):
		return KeyExpired
	case isOver(e.match.Version.RetiresAtMillis, e.nowMillis):
		return KeyRetired
	case e.misplaced():
		return KeyLocationDenied
	case e.urlIsOver():
		return URLExpired
	case e.match.Key.Suspended:
		return KeySuspended
	case e.match.Group.State == Frozen:
		return GroupFrozen
	case e.match.Group.State != Active:
		return GroupSuspended
	}
	if code := e.checkAddress(); code != Allowed {
		return code
	}
	switch {
	case e.request.AboutKey:
		return e.aboutKey()
	case !e.findProject():
		return e.unowned()
	case !slices.Contains(e.match.Key.Scope.Projects, e.project.Name):
		return ProjectDenied
	case !e.isSignedFor():
		return URLDenied
	case e.deniesClient():
		return ClientDenied
	}
	if code := e.checkOrigin(); code != Allowed {
		return code
	}
	if !e.permitted() {
		return PermissionDenied
	}
	return Allowed
}

// read converts the request to the form in which routes are matched, or returns which part of it could be interpreted in
// more than one way.
func (e *evaluation) read() Code {
	if len(e.request.Path) > routing.MaxPath {
		return PathTooLong
	}
	host, err := routing.CanonicalHost(e.request.Host)
	if err != nil || host == "" && e.request.NeedsHost {
		return HostInvalid
	}
	path, err := e.request.Reading.Path(e.request.Path)
	if err != nil || e.request.KeyDoubt == PathAmbiguous {
		return PathAmbiguous
	}
	if !routing.CheckQuery(e.request.RawQuery) || e.request.KeyDoubt != Allowed {
		return QueryAmbiguous
	}
	e.routing.Method, e.routing.Host, e.routing.Path, e.routing.RawQuery = e.request.Method, host, path, e.request.RawQuery
	e.routing.IgnoreCase = e.request.Reading.IgnoreCase
	return Allowed
}

// unknown returns the code for a credential that no key has.
func (e *evaluation) unknown() Code {
	if e.request.Credential.Form == Foreign {
		return KeyMalformed
	}
	return KeyUnknown
}

func (e *evaluation) find(snapshot Snapshot) bool {
	match, ok := snapshot.Find(e.request.Credential.Digest)
	e.match = match
	return ok
}

// isOver reports whether an instant, in Unix milliseconds, has passed; 0 never does.
func isOver(instant, now int64) bool { return instant != 0 && now >= instant }

func (e *evaluation) findProject() bool {
	e.project = e.ownerIn(e.match.Group)
	return e.project != nil
}

// unowned returns the code for a request that belongs to no project.
func (e *evaluation) unowned() Code {
	if e.doubtful {
		return QueryAmbiguous
	}
	return ProjectUnknown
}

// ownerIn finds the project of a group that owns the request: the trusted one, or the one with the most specific route.
// Projects are sorted by name, so the first wins a tie. If finding out takes too much work, or depends on how the query is
// interpreted, no project owns the request: the one with the next best route is not the owner.
func (e *evaluation) ownerIn(group *Group) *Project {
	owner, _ := e.rankIn(group)
	return owner
}

// rankIn is ownerIn that also returns the rank of the owner's route. The zero Rank is that of an owner without one.
func (e *evaluation) rankIn(group *Group) (owner *Project, best routing.Rank) {
	projects := group.Projects
	if trusted := e.request.TrustedProject; trusted != "" {
		e.routing.Spend(len(projects))
		return group.ProjectNamed(trusted), best
	}
	for i := range projects {
		rank, ok := projects[i].owns(&e.routing)
		if ok && (owner == nil || rank.Compare(best) > 0) {
			owner, best = &projects[i], rank
		}
	}
	if _, doubted := e.routing.TakeDoubt(); doubted {
		e.doubtful = e.isDoubtful(projects, owner, best)
	}
	if e.doubtful || e.routing.Exhausted() {
		return nil, best
	}
	return owner, best
}

// isDoubtful reports whether another project than the owner may have a route that is as specific.
func (e *evaluation) isDoubtful(projects []Project, owner *Project, best routing.Rank) bool {
	for i := range projects {
		if &projects[i] == owner {
			continue
		}
		_, _ = projects[i].owns(&e.routing)
		if rank, doubted := e.routing.TakeDoubt(); doubted && (owner == nil || rank.Compare(best) >= 0) {
			return true
		}
	}
	return false
}

// checkOrigin compares the origin, from the Origin header or else from the Referer, with the project's allowlists. An
// origin that cannot be parsed is denied.
func (e *evaluation) checkOrigin() Code {
	var from origin.Origin
	var err error
	switch {
	case e.request.Origin != "":
		from, err = origin.Parse(e.request.Origin)
	case e.request.Referer != "":
		from, err = origin.ParseReferer(e.request.Referer)
	case e.project.Origins.AllowMissing:
		return Allowed
	case e.isOwnPage():
		return Allowed
	default:
		return OriginMissing
	}
	if err != nil || !e.project.Origins.Allows(from) {
		return OriginDenied
	}
	return Allowed
}

// permitted reports whether a permission of the key covers method and path.
func (e *evaluation) permitted() bool {
	permissions := e.match.Key.Scope.Permissions
	if e.readOnly() && slices.Contains(permissions, PermissionRead) {
		return true
	}
	for i := range e.match.Group.Capabilities {
		capability := &e.match.Group.Capabilities[i]
		if slices.Contains(permissions, capability.Name) && capability.covers(&e.routing) {
			return true
		}
	}
	return false
}
