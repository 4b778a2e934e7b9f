package plugin

import "strings"

// remedy says to somebody who looks after keys what a code means, and what mends it.
// {project}, {origin}, {group}, {method} and {key} stand for those of the request.
type hint struct{ why, fix string }

// remedies of the codes of server/decision.
var hints = map[string]hint{
	"allowed":   {"It was let through.", ""},
	"preflight": {"A browser asked whether it may send a request from this origin, and was told that it may.", ""},
	"not_synced": {"The validation server had not received its keys yet.",
		"If that lasts, see whether the manager runs, and what the server's log says of its connection."},
	"stale": {"The validation server was out of touch with the manager for longer than --max-staleness.",
		"See whether the manager runs and the server can reach it; --on-stale=allow lets it go on deciding by what it knows."},
	"path_ambiguous": {"The path can be read in more than one way, so that the server behind might read another than the one decided on.",
		"The client has to send it without '.', '..' and empty segments, without ';', '.' or a space at the end of a segment, without encoded slashes, and percent-encoded once. --path-parameters=allow takes ';', '.' and spaces, where the content server reads them as they are."},
	"path_too_long": {"The path is longer than 8192 bytes.",
		"The client has to send a shorter one; what is long belongs into the query or the body."},
	"host_invalid": {"The host of the request is missing, or neither a name nor an address, so that the server behind might take it for another one.",
		"The client, or the gateway that passes the host on, has to send the host of the URL, with a port of digits or none."},
	"query_ambiguous": {"The query can be read in more than one way: it has bytes that belong in none, or a parameter that routes look at comes twice or under another spelling.",
		"The client has to percent-encode spaces, '#' and what is not ASCII, and to send each parameter once, under its exact name, separated by '&'."},
	"key_missing": {"The request carried no key.",
		"The client has to send it as 'Authorization: Bearer <key>' or 'X-Api-Key: <key>'; a gateway must pass that header on."},
	"key_malformed": {"What was sent is not one complete key.",
		"See what the client sends: cut off, quoted, with a placeholder left in, or two keys at once. kubectl keyward verify --offline checks it."},
	"key_unknown": {"No key that this server holds is the one that was sent.",
		"It may be of another environment, of a Group that this server does not hold (--group), or deleted. kubectl keyward verify -A finds out."},
	"key_revoked": {"The key was revoked, which is final.",
		"If that was not meant: create a new ApiKey, and give its key to the client."},
	"key_expired": {"The key's time is over.",
		"Let the client read its Secret again if the key was rotated; else create a new ApiKey, with spec.rotation.every to have it renewed in time."},
	"key_retired": {"The key was rotated, and the overlap is over: the client still uses the earlier version.",
		"Let the client read its Secret again (a restart, where it is an environment variable; spec.secret.restart does that), and see whether spec.rotation.overlap is long enough."},
	"key_suspended": {"The key is suspended.",
		"When the reason for it is gone: kubectl keyward resume {key}"},
	"group_frozen": {"Group {group} is frozen, and with it all its keys.",
		"Set its spec.state to Active when the reason for it is gone."},
	"group_suspended": {"Group {group} is suspended, and with it all its keys.",
		"Set its spec.state to Active when the reason for it is gone."},
	"project_unknown": {"No route of a project of Group {group} matches the request.",
		"See whether the client asks for the right host and path; else add a route to the project in the Group."},
	"project_denied": {"The request belongs to project {project}, for which this key is not.",
		"If it should be: add {project} to spec.projects of the ApiKey."},
	"origin_missing": {"Project {project} answers browsers only, and the request had neither an Origin nor a Referer.",
		"If servers may use the key, too: missingOrigin: Allow in a DomainAllowlist of the project."},
	"origin_denied": {"Project {project} may not be used from {origin}.",
		"If it may: add its domain to spec.domains of a DomainAllowlist of the project. If nobody knows the site: the key may have been copied; rotate it."},
	"permission_denied": {"The key does not permit {method} on this path.",
		"Keys may GET and HEAD; for more, the Group declares a capability with routes, and spec.permissions of the ApiKey names it."},
	"rate_limited": {"Requests with the key, or with all keys of Group {group}, came faster than the limit lets through.",
		"If they may come faster: raise requestsPerSecond, or burst where they come all at once, in spec.limits of the ApiKey, of the Group, or of its tier."},
	"quota_exceeded": {"Group {group} has used up its requests or bytes of this month, which ends with the month in UTC.",
		"If it may have more: raise spec.limits of the Group, or give it another spec.tier, which takes effect at once; overage: Meter lets more through and counts it."},
	"quota_unavailable": {"The manager is away, and the validation server has used up what it may let through of Group {group}'s quota.",
		"See whether the manager runs and the server can reach it; quotaFailurePolicy: Allow in spec.limits of the Group lets requests through meanwhile."},
	"too_many_failures": {"Too many requests from the client's address were refused, so that further failures are not looked into.",
		"See what the earlier refusals were. If many clients share the address: does the validation server know the proxy in front of it (--trusted-proxies)?"},
}

// explain is the remedy for a decision.
func (d *ruling) explain(key string) hint {
	r, ok := hints[d.Code]
	if !ok {
		return hint{why: "This plugin does not know the code; a newer one may."}
	}
	fill := strings.NewReplacer("{project}", or(d.Project, "(none)"), "{origin}", or(d.Origin, "this origin"),
		"{group}", or(d.Group, "(unknown)"), "{method}", or(d.Method, "this method"), "{key}", or(key, "KEY"))
	return hint{fill.Replace(r.why), fill.Replace(r.fix)}
}
