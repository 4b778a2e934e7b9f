// Package decision decides whether a request may pass. It is pure: it knows neither HTTP
// nor the clock, and holds no state, so the same snapshot, request and instant always give
// the same answer.
package decision

import (
	"slices"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
)

// Snapshot is what a validation server knows. It is safe for concurrent use.
type Snapshot interface {
	// Health tells whether the snapshot may be decided on.
	Health(now time.Time) Health
	// Find returns the version with the digest, whatever its state.
	Find(keyformat.Digest) (Match, bool)
	// Allowing asks about the groups of which a project allows the origin, maybe about one
	// more than once, until one will do. It says so, or that they are too many to ask each; then
	// it asks about none. What is asked holds nothing up: it holds no lock.
	Allowing(from origin.Origin, willDo func(*Group) bool) (found, tooMany bool)
}

// Recognizer is a Snapshot that knows some credentials by other digests than the plain ones.
type Recognizer interface {
	// Recognize replaces the digest of a Foreign credential by the one that Find knows it by. It may
	// be called again with the result.
	Recognize(*Credential)
}

// Health is the state of a snapshot.
type Health uint8

// The states of a snapshot. The zero Health is Unsynced: without data nothing is allowed.
const (
	Unsynced Health = iota
	Synced
	TooStale // and configured to deny then
)

// Match is one minted credential, with the key and the group that it belongs to. What it
// points to never changes.
type Match struct {
	Version Version
	Key     Key
	Group   *Group
}

// Request is what is known of a request. It holds no credential, so it may be logged.
type Request struct {
	Credential Credential
	Method     string
	Host       string
	Path       string // percent-encoded, as sent
	RawQuery   string // as sent, without the '?'
	Origin     string // the header's value, "" where there is none
	Referer    string // the header's value, "" where there is none

	// PreflightMethod is the method that a browser asks about (Access-Control-Request-
	// Method), "" where the request is no preflight; PreflightHeaders are the names of
	// headers that it wants to send, separated by commas.
	PreflightMethod  string
	PreflightHeaders string

	// NeedsHost says that every request of the protocol has a host. One without is refused then: the
	// server behind would take it for a host that was not decided on.
	NeedsHost bool

	// Reading is how the content servers behind read paths. It never comes from the client.
	Reading routing.Reading

	// TrustedProject names the project by the word of whoever routed the request here,
	// and then routes are not asked. It never comes from the client.
	TrustedProject string
}

// Credential is what remains of a presented key.
type Credential struct {
	Form   Form
	Digest keyformat.Digest // set where Form is WellFormed or Foreign; of the latter see Recognizer
}

// Form tells what was presented.
type Form uint8

// The forms of a presented credential.
const (
	Absent Form = iota
	Malformed
	WellFormed
	// Foreign is no key of ours by its form, but may be one that was imported.
	Foreign
)

// Decision is the answer. Key, Group and Project are set as soon as they are known, also
// when the request is denied.
type Decision struct {
	Code    Code
	Key     Key
	Group   *Group
	Project *Project

	// Retiring says that the key has a successor, and is accepted for their overlap only.
	Retiring bool
	// OriginAllowed says that pages of the request's Origin may read the answer, whatever it
	// is. It is never set without an Origin, or for an opaque one.
	OriginAllowed bool
	// MethodAllowed says of a Preflight that there may be keys that permit the method.
	MethodAllowed bool

	// unread is whether OriginAllowed is still to be found out, among all groups, and with it a Preflight.
	unread bool
}

// Allowed tells whether the request may pass.
func (d Decision) Allowed() bool { return d.Code == Allowed }

// Decide decides the request as of now. The order of the checks is part of the interface:
// the first that fails is the answer.
func Decide(snapshot Snapshot, request *Request, now time.Time) Decision {
	d := Begin(snapshot, request, now)
	d.Finish(snapshot, request, true)
	return d
}

// Begin decides the request, but for whether a preflight is allowed, or pages may read a denial,
// for which the groups of others would have to be searched. Finish finds that out.
func Begin(snapshot Snapshot, request *Request, now time.Time) Decision {
	e := evaluation{request: request, nowMillis: now.UnixMilli()}
	if request.PreflightMethod != "" {
		return e.preflight(snapshot, now)
	}
	code := e.verdict(snapshot, now)
	d := Decision{
		Code: code, Key: e.match.Key, Group: e.match.Group, Project: e.project,
		Retiring: e.match.Version.RetiresAtMillis != 0,
	}
	if request.Origin != "" {
		d.OriginAllowed, d.unread = e.mayRead(snapshot, code)
	}
	return d
}

// evaluation is one decision in the making.
type evaluation struct {
	request   *Request
	nowMillis int64
	routing   routing.Request
	match     Match
	project   *Project
	doubtful  bool // there is no project, because it depends on how the query is read
}

// verdict is the table of checks, first failure first. It is a switch, not a list of
// functions, so that the evaluation stays on the stack.
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
		return KeyMissing
	case e.request.Credential.Form != WellFormed && e.request.Credential.Form != Foreign:
		return KeyMalformed
	case !e.find(snapshot):
		return e.unknown()
	case e.match.Version.Revoked:
		return KeyRevoked
	case isOver(e.match.Version.ExpiresAtMillis, e.nowMillis):
		return KeyExpired
	case isOver(e.match.Version.RetiresAtMillis, e.nowMillis):
		return KeyRetired
	case e.match.Key.Suspended:
		return KeySuspended
	case e.match.Group.State == Frozen:
		return GroupFrozen
	case e.match.Group.State != Active:
		return GroupSuspended
	case !e.findProject():
		return e.unowned()
	case !slices.Contains(e.match.Key.Scope.Projects, e.project.Name):
		return ProjectDenied
	}
	if code := e.checkOrigin(); code != Allowed {
		return code
	}
	if !e.permitted() {
		return PermissionDenied
	}
	return Allowed
}

// read brings the request into the form in which routes are matched, or says what of it could
// be read in more than one way.
func (e *evaluation) read() Code {
	if len(e.request.Path) > routing.MaxPath {
		return PathTooLong
	}
	host, err := routing.CanonicalHost(e.request.Host)
	if err != nil || host == "" && e.request.NeedsHost {
		return HostInvalid
	}
	path, err := e.request.Reading.Path(e.request.Path)
	if err != nil {
		return PathAmbiguous
	}
	if !routing.CheckQuery(e.request.RawQuery) {
		return QueryAmbiguous
	}
	e.routing.Method, e.routing.Host, e.routing.Path, e.routing.RawQuery = e.request.Method, host, path, e.request.RawQuery
	e.routing.IgnoreCase = e.request.Reading.IgnoreCase
	return Allowed
}

// unknown is the code for a credential that no key has.
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

// isOver tells whether an instant, in Unix milliseconds, has come; 0 never does.
func isOver(instant, now int64) bool { return instant != 0 && now >= instant }

func (e *evaluation) findProject() bool {
	e.project = e.ownerIn(e.match.Group)
	return e.project != nil
}

// unowned is the code for a request that belongs to no project.
func (e *evaluation) unowned() Code {
	if e.doubtful {
		return QueryAmbiguous
	}
	return ProjectUnknown
}

// ownerIn finds the project of a group that owns the request: the trusted one, or the one
// with the most specific route. Projects are in the order of their names, so the first wins
// a tie. Where it takes too much work to find out, or depends on how the query is read, nobody
// owns it: the project with the next best route is not the one.
func (e *evaluation) ownerIn(group *Group) (owner *Project) {
	projects := group.Projects
	if trusted := e.request.TrustedProject; trusted != "" {
		e.routing.Spend(len(projects))
		for i := range projects {
			if projects[i].Name == trusted {
				owner = &projects[i]
			}
		}
		return owner
	}
	var best routing.Rank
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
		return nil
	}
	return owner
}

// isDoubtful tells whether another project than the owner may have a route that is as good.
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

// checkOrigin compares the origin, by Origin or else by Referer, with the project's
// allowlists. One that cannot be read is foreign.
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
	default:
		return OriginMissing
	}
	if err != nil || !e.project.Origins.allow(from) {
		return OriginDenied
	}
	return Allowed
}

// permitted tells whether a permission of the key covers method and path.
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
