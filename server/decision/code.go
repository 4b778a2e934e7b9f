package decision

import "net/http"

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

	// QueryAmbiguous is decided together with the path, if the query has bytes that must not be in a query, and together
	// with the project, if a route depends on a parameter that can be read in two ways.
	QueryAmbiguous
	KeyMissing
	KeyMalformed
	KeyUnknown
	KeyRevoked
	KeyExpired
	KeyRetired
	KeySuspended
	GroupFrozen
	GroupSuspended
	ProjectUnknown
	ProjectDenied
	OriginMissing
	OriginDenied
	PermissionDenied

	// RateLimited is decided by the rate limiter, once all checks above have passed.
	RateLimited

	// QuotaExceeded is decided by the quota tracker, once all checks above have passed.
	QuotaExceeded

	// QuotaUnavailable replaces it while it is not known what is left, if the group denies requests in that case.
	QuotaUnavailable

	// TooManyFailures replaces another denial if the client had too many. The throttle, which knows the client, decides that.
	TooManyFailures

	// Preflight is the response to a browser that asks whether it may send a request from an origin that is allowed. No
	// request is allowed by it.
	Preflight

	codes // how many there are
)

// outcome is how a Code appears in HTTP. A detail says what the holder of the key can do, and reveals nothing about the
// key, its group or other groups that the holder does not know.
type outcome struct {
	name   string
	status int
	title  string
	detail string
}

var outcomes = [codes]outcome{
	Allowed: {"allowed", http.StatusOK, "Allowed", ""},
	NotSynced: {"not_synced", http.StatusServiceUnavailable, "Not ready",
		"This server has not received its keys yet. Try again in a moment."},
	Stale: {"stale", http.StatusServiceUnavailable, "Out of date",
		"This server has been out of touch with the source of its keys for too long. Try again later."},
	PathTooLong: {"path_too_long", http.StatusRequestURITooLong, "Path too long",
		"The path is longer than 8192 bytes. Send a shorter one."},
	HostInvalid: {"host_invalid", http.StatusBadRequest, "Invalid host",
		"The host is missing, or not a name, an IPv4 address or an IPv6 address in brackets, with a port or without. " +
			"Send it as it is in the URL, in punycode where it is international."},
	PathAmbiguous: {"path_ambiguous", http.StatusBadRequest, "Ambiguous path",
		"The path can be read in more than one way. Send it without '.', '..' and empty segments, without ';', " +
			"without segments that end in '.' or a space, without encoded slashes and backslashes, and percent-encoded once."},
	QueryAmbiguous: {"query_ambiguous", http.StatusBadRequest, "Ambiguous query",
		"The query can be read in more than one way. Percent-encode spaces, '#' and characters that are not ASCII, " +
			"separate parameters by '&' only, and send each parameter once and under its exact name."},
	KeyMissing: {"key_missing", http.StatusUnauthorized, "API key missing",
		"Send the API key as 'Authorization: Bearer <key>' or 'X-Api-Key: <key>'."},
	KeyMalformed: {"key_malformed", http.StatusUnauthorized, "API key malformed",
		"The credential is not one complete API key. Check that the key was copied completely and is sent once."},
	KeyUnknown: {"key_unknown", http.StatusUnauthorized, "API key unknown",
		"No such API key is known here. Check that it belongs to this environment."},
	KeyRevoked: {"key_revoked", http.StatusUnauthorized, "API key revoked",
		"This API key has been revoked permanently. Ask for a new one."},
	KeyExpired: {"key_expired", http.StatusUnauthorized, "API key expired",
		"This API key has expired. Use its successor, or ask for a new one."},
	KeyRetired: {"key_retired", http.StatusUnauthorized, "API key replaced",
		"This API key was rotated and the overlap is over. Use its successor."},
	KeySuspended: {"key_suspended", http.StatusForbidden, "API key suspended",
		"This API key is suspended. Ask its owner to resume it."},
	GroupFrozen: {"group_frozen", http.StatusForbidden, "Group frozen",
		"The group that this API key belongs to is frozen."},
	GroupSuspended: {"group_suspended", http.StatusForbidden, "Group suspended",
		"The group that this API key belongs to is suspended."},
	ProjectUnknown: {"project_unknown", http.StatusForbidden, "No such project",
		"The request belongs to no project of the API key's group."},
	ProjectDenied: {"project_denied", http.StatusForbidden, "Project denied",
		"This API key is not scoped to the project that the request belongs to."},
	OriginMissing: {"origin_missing", http.StatusForbidden, "Origin missing",
		"This project accepts requests from browsers only: the request needs an Origin or a Referer header."},
	OriginDenied: {"origin_denied", http.StatusForbidden, "Origin denied",
		"This project may not be used from the request's origin. Ask its owner to allow the domain."},
	PermissionDenied: {"permission_denied", http.StatusForbidden, "Permission denied",
		"This API key does not permit this method on this path."},
	RateLimited: {"rate_limited", http.StatusTooManyRequests, "Too many requests",
		"Requests with this API key, or with all keys of its group together, exceed a rate limit. " +
			"Wait as long as Retry-After says, and then send requests more slowly."},
	QuotaExceeded: {"quota_exceeded", http.StatusPaymentRequired, "Quota exceeded",
		"This month's quota of the group that this API key belongs to is used up. Raise it, or wait for the next month."},
	QuotaUnavailable: {"quota_unavailable", http.StatusServiceUnavailable, "Quota unavailable",
		"It is not known at the moment whether this month's quota of the group that this API key belongs to is used up. Try again in a moment."},
	TooManyFailures: {"too_many_failures", http.StatusTooManyRequests, "Too many failures",
		"Too many requests from this address were refused. Correct the API key or the origin, and wait before trying again."},
	Preflight: {"preflight", http.StatusNoContent, "Preflight answered",
		"Requests from this origin may be sent, with an API key."},
}

// Codes returns every Code, Allowed first.
func Codes() []Code {
	all := make([]Code, codes)
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

func (c Code) outcome() *outcome {
	if c >= codes {
		c = NotSynced
	}
	return &outcomes[c]
}

// FailedAttempt reports whether the denied request may be a guess: of a key, or of where a key that was found may be used.
// The other denials are about servers, or inform a holder about their key.
func (c Code) FailedAttempt() bool {
	switch c {
	case KeyMissing, KeyMalformed, KeyUnknown, KeyRevoked, KeyExpired, KeyRetired,
		ProjectUnknown, ProjectDenied, OriginMissing, OriginDenied:
		return true
	default:
		return false
	}
}

// String returns the machine-readable name, such as "key_expired".
func (c Code) String() string { return c.outcome().name }

// Status returns the HTTP status code (RFC 9110, section 15).
func (c Code) Status() int { return c.outcome().status }

// Title returns a short summary, the same for every occurrence (RFC 9457, section 3.1.3).
func (c Code) Title() string { return c.outcome().title }

// Detail returns what the client can do about it; it is empty for Allowed.
func (c Code) Detail() string { return c.outcome().detail }
