// Package decisioncode is the table of decision codes: how each outcome of a decision appears in HTTP, what a client
// reads about it, and what a person who operates Keyward reads about it. Validator, kubectl plugin and
// docs/decision-codes.md use this table.
package decisioncode

import "strings"

// Code is the outcome of a decision. The zero Code is Allowed.
type Code uint8

// The outcomes, in the order in which they are checked for.
const (
	Allowed Code = iota
	NotSynced
	Stale
	PathTooLong
	HostInvalid
	PathAmbiguous

	// QueryAmbiguous is found together with the path if the query has bytes that are not allowed in a query. It is
	// found together with the project if routes look at a parameter that can be read in two ways.
	QueryAmbiguous
	KeyMissing
	KeyMalformed
	URLInvalid
	KeyUnknown
	KeyRevoked
	KeyExpired
	KeyRetired
	KeyLocationDenied
	URLExpired
	KeySuspended
	GroupFrozen
	GroupSuspended
	AddressUnknown
	AddressDenied
	ProjectUnknown
	ProjectDenied
	URLDenied
	ClientDenied
	OriginMissing
	OriginDenied
	PermissionDenied

	// RateLimited is decided by the rate limiter, after all checks above have passed.
	RateLimited

	// KeyQuotaExceeded is decided by the quota tracker, after all checks above have passed, and before QuotaExceeded.
	KeyQuotaExceeded

	// QuotaExceeded is decided by the quota tracker, after all checks above have passed.
	QuotaExceeded

	// QuotaUnavailable replaces QuotaExceeded and KeyQuotaExceeded while the quota is not known and the group denies requests in that case.
	QuotaUnavailable

	// TooManyFailures replaces another denial if a client had too many failed attempts. The caller of the decision,
	// which knows the client, decides that.
	TooManyFailures

	// Preflight is the response to a browser that asks whether it may send a request from an origin, if that origin
	// is allowed. The preflight request itself is not forwarded.
	Preflight

	// Public is an allowed request without a key, for a path that its project has declared to be public.
	Public

	count // the number of codes
)

// All returns every Code, Allowed first.
func All() []Code {
	all := make([]Code, count)
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

// Parse returns the code with this name. It reports whether there is one.
func Parse(name string) (Code, bool) {
	code, ok := byName[name]
	return code, ok
}

var byName = func() map[string]Code {
	codes := map[string]Code{}
	for _, code := range All() {
		codes[code.String()] = code
	}
	return codes
}()

// row returns the code's row of the table. A code that does not exist denies like NotSynced.
func (c Code) row() *row {
	if c >= count {
		c = NotSynced
	}
	return &table[c]
}

// String returns the machine-readable name, such as "key_expired".
func (c Code) String() string { return c.row().name }

// Status returns the HTTP status code (RFC 9110, section 15).
func (c Code) Status() int { return c.row().status }

// Title returns a short summary, the same for every occurrence (RFC 9457, section 3.1.3).
func (c Code) Title() string { return c.row().title }

// Detail returns what the client can do about it. It is empty where there is nothing to do.
func (c Code) Detail() string { return c.row().detail }

// Cause explains the code to an operator of Keyward. See the placeholders below.
func (c Code) Cause() string { return c.row().cause }

// Hint tells an operator of Keyward how to fix the cause. It is empty if there is nothing to fix. See the placeholders
// below.
func (c Code) Hint() string { return c.row().hint }

// Placeholders in Cause and Hint stand for these values of the request.
const (
	PlaceholderProject = "{project}"
	PlaceholderOrigin  = "{origin}"
	PlaceholderGroup   = "{group}"
	PlaceholderMethod  = "{method}"
	PlaceholderKey     = "{key}" // the name of the ApiKey
)

// someProject is a project that is not known, after "the".
const someProject = "project that the request was for"

// Values are what placeholders stand for. An empty Project is not known; the others have a text.
type Values struct{ Project, Origin, Group, Method, Key string }

// Explain returns Cause and Hint with the values in place of the placeholders.
func (c Code) Explain(v Values) (cause, hint string) {
	if v.Project == "" {
		v.Project = "the " + someProject
		cause, hint = unnamed.Replace(c.Cause()), unnamed.Replace(c.Hint())
	} else {
		cause, hint = c.Cause(), c.Hint()
	}
	fill := strings.NewReplacer(PlaceholderProject, v.Project, PlaceholderOrigin, v.Origin, PlaceholderGroup, v.Group,
		PlaceholderMethod, v.Method, PlaceholderKey, v.Key)
	return fill.Replace(cause), fill.Replace(hint)
}

// unnamed makes a text of a project without a name.
var unnamed = strings.NewReplacer("Project "+PlaceholderProject, "The "+someProject, "project "+PlaceholderProject, "the "+someProject)

// Allows reports whether the request may pass: with a key, or without one.
func (c Code) Allows() bool { return c == Allowed || c == Public }

// Refuses reports whether the request is refused. A Preflight neither passes nor is refused.
func (c Code) Refuses() bool { return !c.Allows() && c != Preflight }

// Anchor returns the page and the section of the documentation that describes the code, relative to docs.
func (c Code) Anchor() string { return "decision-codes.md#" + c.row().name }

// FailedAttempt reports whether a denial may be a guess: of a key, or of where a known key may be used. The other
// denials are about servers, or tell the holder of a key about that key.
func (c Code) FailedAttempt() bool {
	switch c {
	case KeyMissing, KeyMalformed, URLInvalid, KeyUnknown, KeyRevoked, KeyExpired, KeyRetired, KeyLocationDenied, URLExpired,
		AddressDenied, ProjectUnknown, ProjectDenied, URLDenied, ClientDenied, OriginMissing, OriginDenied:
		return true
	default:
		return false
	}
}
