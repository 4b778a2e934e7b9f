package decisioncode

import "net/http"

// row is what the table says about one code.
type row struct {
	name   string
	status int
	title  string

	// detail tells the client, usually the holder of the key, what to do. It says nothing about the key, its group or
	// other groups that the holder does not know.
	detail string

	// cause and hint are for operators only.
	cause, hint string
}

var table = [count]row{
	Allowed: {
		"allowed", http.StatusOK, "Allowed", "",
		"The request was allowed.", "",
	},
	NotSynced: {
		"not_synced", http.StatusServiceUnavailable, "Not ready",
		"This server has not received its keys yet. Try again in a moment.",
		"The validation server had not received its keys yet.",
		"If this lasts, check that the manager runs, and what the server's log says about its connection.",
	},
	Stale: {
		"stale", http.StatusServiceUnavailable, "Out of date",
		"This server has been disconnected from the source of its keys for too long. Try again later.",
		"The validation server was disconnected from the manager for longer than --max-staleness.",
		"Check that the manager runs and that the server can reach it. With --on-stale=allow the server continues to decide " +
			"with the data that it has.",
	},
	PathTooLong: {
		"path_too_long", http.StatusRequestURITooLong, "Path too long",
		"The path is longer than 8192 bytes. Send a shorter one.",
		"The path is longer than 8192 bytes.",
		"The client has to send a shorter path. Long values belong in the query or the body.",
	},
	HostInvalid: {
		"host_invalid", http.StatusBadRequest, "Invalid host",
		"The host is missing, or it is not a name, an IPv4 address or an IPv6 address in brackets, with or without a port. " +
			"Send it as it is in the URL, and an international name in punycode.",
		"The host of the request is missing, or it is neither a name nor an address, so that the server behind might take " +
			"it for another host.",
		"The client, or the gateway that forwards the host, has to send the host of the URL, without a port or with a port " +
			"of digits.",
	},
	PathAmbiguous: {
		"path_ambiguous", http.StatusBadRequest, "Ambiguous path",
		"The path can be read in more than one way. Send it without '.', '..' and empty segments, without ';', without " +
			"segments that end in '.' or a space, without encoded slashes and backslashes, and percent-encoded once.",
		"The path can be read in more than one way, so that the server behind might read another path than the decision did.",
		"The client has to send it without '.', '..' and empty segments, without ';', '.' or a space at the end of a " +
			"segment, without encoded slashes, and percent-encoded once. --path-parameters=allow accepts ';', '.' and spaces, " +
			"for content servers that read them literally.",
	},
	QueryAmbiguous: {
		"query_ambiguous", http.StatusBadRequest, "Ambiguous query",
		"The query can be read in more than one way. Percent-encode spaces, '#' and what is not ASCII, separate parameters " +
			"with '&' only, and send each parameter once and under its exact name.",
		"The query can be read in more than one way: it has bytes that are not allowed in a query, or a parameter that " +
			"routes look at appears twice or under another spelling.",
		"The client has to percent-encode spaces, '#' and what is not ASCII, and to send each parameter once, under its " +
			"exact name, separated by '&'.",
	},
	KeyMissing: {
		"key_missing", http.StatusUnauthorized, "API key missing",
		"Send the API key as 'Authorization: Bearer <key>' or 'X-Api-Key: <key>'.",
		"The request carried no key.",
		"The client has to send it as 'Authorization: Bearer <key>' or 'X-Api-Key: <key>', and a gateway has to forward that " +
			"header.",
	},
	KeyMalformed: {
		"key_malformed", http.StatusUnauthorized, "API key malformed",
		"What was sent is not one complete API key. Check that it was copied completely and is sent once.",
		"What was sent is not one complete key.",
		"Check what the client sends: it may be cut off or quoted, contain a placeholder, or be two keys at once. " +
			"kubectl keyward verify --offline checks a key.",
	},
	URLInvalid: {
		"url_invalid", http.StatusUnauthorized, "Signed URL invalid",
		"The URL was not signed by a key that signs URLs here, or it was changed or cut off since. Ask for a new one.",
		"The query parameter keyward-token is not complete, occurs twice, or was not signed by a version of a key that signs URLs.",
		"Check that the whole URL was copied, and that spec.signedURLs of the ApiKey is true. A version whose text was not " +
			"known to the manager when that was set signs nothing, and neither does an imported one: rotate the key.",
	},
	KeyUnknown: {
		"key_unknown", http.StatusUnauthorized, "API key unknown",
		"No such API key is known here. Check that it belongs to this environment.",
		"The server has no key that equals the one that was sent.",
		"The key may belong to another environment or to a Group that this server does not serve (--group), or it may be " +
			"deleted. kubectl keyward verify -A finds out.",
	},
	KeyRevoked: {
		"key_revoked", http.StatusUnauthorized, "API key revoked",
		"This API key has been revoked permanently. Ask for a new one.",
		"The key was revoked, which is final.",
		"If that was a mistake, create a new ApiKey and give its key to the client.",
	},
	KeyExpired: {
		"key_expired", http.StatusUnauthorized, "API key expired",
		"This API key has expired. Use its successor, or ask for a new one.",
		"The key has expired.",
		"If the key was rotated, let the client read its Secret again. Otherwise create a new ApiKey, with " +
			"spec.rotation.every to have it renewed in time.",
	},
	KeyRetired: {
		"key_retired", http.StatusUnauthorized, "API key replaced",
		"This API key was rotated and the overlap is over. Use its successor.",
		"The key was rotated and the overlap is over: the client still uses the previous version.",
		"Let the client read its Secret again (by a restart, if it is an environment variable; spec.secret.restart does " +
			"that), and check that spec.rotation.overlap is long enough.",
	},
	KeyLocationDenied: {
		"key_location_denied", http.StatusUnauthorized, "API key in the wrong place",
		"This API key may be sent in a header only, as 'Authorization: Bearer <key>' or 'X-Api-Key: <key>', because URLs end " +
			"up in logs. Ask its owner if that is not possible.",
		"The key was in the URL or in a subprotocol of a WebSocket, where Group {group} does not accept it, or from where the " +
			"gateway cannot remove it.",
		"The client has to send it in a header. If it cannot, as in an iframe or an image, add Query or WebSocketProtocol to " +
			"spec.keyPolicy.acceptIn of the Group, and use a gateway that removes the key.",
	},
	URLExpired: {
		"url_expired", http.StatusUnauthorized, "Signed URL expired",
		"The signed URL has expired. Ask for a new one.",
		"The signed URL has expired, by the clock of the validation server.",
		"Sign a new one. A URL lives 24 hours at most; what is used for longer needs a key, or a page that asks for new URLs.",
	},
	KeySuspended: {
		"key_suspended", http.StatusForbidden, "API key suspended",
		"This API key is suspended. Ask its owner to resume it.",
		"The key is suspended.",
		"When the reason for it no longer exists: kubectl keyward resume {key}",
	},
	GroupFrozen: {
		"group_frozen", http.StatusForbidden, "Group frozen",
		"The group that this API key belongs to is frozen.",
		"Group {group} is frozen, and with it all its keys.",
		"Set its spec.state to Active when the reason for it no longer exists.",
	},
	GroupSuspended: {
		"group_suspended", http.StatusForbidden, "Group suspended",
		"The group that this API key belongs to is suspended.",
		"Group {group} is suspended, and with it all its keys.",
		"Set its spec.state to Active when the reason for it no longer exists.",
	},
	AddressUnknown: {
		"address_unknown", http.StatusForbidden, "Address unknown",
		"This API key is accepted from certain addresses only, and this server does not know yours. Ask its owner.",
		"The key is accepted from certain addresses only, and the validation server does not know that of the client.",
		"Let the proxy in front of the validation server report the client's address, and list the proxy in " +
			"--trusted-proxies; an application that asks POST /v1/verify sends clientAddress, and is listed there, too.",
	},
	AddressDenied: {
		"address_denied", http.StatusForbidden, "Address denied",
		"This API key is not accepted from your address. Ask its owner to add the address.",
		"The client's address is in none of spec.addresses of the ApiKey, or there are none although Group {group} requires " +
			"them.",
		"If the client may use the key, add its address to spec.addresses. If nobody knows the address, the key may have been " +
			"copied: rotate it. If it is that of a proxy, list the proxy in --trusted-proxies.",
	},
	ProjectUnknown: {
		"project_unknown", http.StatusForbidden, "No such project",
		"The request belongs to no project of the API key's group.",
		"No route of a project of Group {group} matches the request.",
		"Check that the client requests the right host and path. If it does, add a route to the project in the Group.",
	},
	ProjectDenied: {
		"project_denied", http.StatusForbidden, "Project denied",
		"This API key is not scoped to the project that the request belongs to.",
		"This key is not scoped to project {project}.",
		"If it should be, add {project} to spec.projects of the ApiKey.",
	},
	URLDenied: {
		"url_denied", http.StatusForbidden, "Signed URL denied",
		"The URL was signed for another path, method, project or origin, or for longer than 24 hours.",
		"The token is not for this request: it names another project than {project}, or another path, method or origin, or it " +
			"expires more than 24 hours from now.",
		"Sign for what the client requests. The path is compared in whole segments: /videos/ is everything below it.",
	},
	ClientDenied: {
		"client_denied", http.StatusForbidden, "Client denied",
		"This API key is for another kind of client: one for browsers needs an Origin or a Referer header of an allowed site, " +
			"and one for servers must not be sent by a browser.",
		"spec.clients of the ApiKey excludes the client: Server, and the request has an Origin, Referer or Sec-Fetch-Site " +
			"header as a browser sends it, or Browser, and it has neither an Origin nor a Referer header.",
		"Give pages a key with clients: Browser, and servers another one with clients: Server. If a page uses a key that is " +
			"for servers, everybody can read it there: rotate it.",
	},
	OriginMissing: {
		"origin_missing", http.StatusForbidden, "Origin missing",
		"This project accepts requests from browsers only: the request needs an Origin or a Referer header.",
		"Project {project} accepts requests from browsers only, and the request had neither an Origin nor a Referer header.",
		"If servers may use the key, too, set missingOrigin: Allow in a DomainAllowlist of the project. A page that sends neither " +
			"to its own host is allowed if that host is in spec.domains.",
	},
	OriginDenied: {
		"origin_denied", http.StatusForbidden, "Origin denied",
		"This project may not be used from the request's origin. Ask its owner to allow the domain.",
		"Project {project} may not be used from {origin}.",
		"If it may, add its domain to spec.domains of a DomainAllowlist of the project. If nobody knows the site, the key " +
			"may have been copied: rotate it.",
	},
	PermissionDenied: {
		"permission_denied", http.StatusForbidden, "Permission denied",
		"This API key does not permit this method on this path.",
		"The key does not permit {method} on this path.",
		"Keys may GET and HEAD. For other methods, declare a capability with routes in the Group, and name it in " +
			"spec.permissions of the ApiKey.",
	},
	RateLimited: {
		"rate_limited", http.StatusTooManyRequests, "Too many requests",
		"Requests with this API key, with all keys of its group together, or without a key from this address, exceed the rate " +
			"limit. Wait as long as Retry-After says, and then send them more slowly.",
		"Requests with the key, with all keys of Group {group}, or from one address for public paths, exceeded the rate limit.",
		"If a higher rate is acceptable, raise requestsPerSecond, or burst if requests come all at once, in spec.limits of " +
			"the ApiKey, of the Group, or of its tier. The rate of requests without a key is --max-public-requests-per-minute of " +
			"the validation server.",
	},
	KeyQuotaExceeded: {
		"key_quota_exceeded", http.StatusPaymentRequired, "Quota of the key exceeded",
		"The quota of this API key is used up. Ask whom you have the key from for a higher one, or wait until it is reset.",
		"The key has used up its own requests of this month, or of the period of Group {group} that began on its anchorDay. Both end in UTC.",
		"If it may have more, raise requestsPerMonth in spec.limits of the ApiKey, or remove it: then the quota of the Group is its only " +
			"one. Both take effect at once.",
	},
	QuotaExceeded: {
		"quota_exceeded", http.StatusPaymentRequired, "Quota exceeded",
		"The quota of the group that this API key belongs to is used up. Raise it, or wait until it is reset.",
		"Group {group} has used up its requests or bytes of this month, or of the period that began on its anchorDay. Both end in UTC.",
		"If it may have more, raise spec.limits of the Group, or give it another spec.tier, which takes effect at once. " +
			"overage: Meter allows more and counts it.",
	},
	QuotaUnavailable: {
		"quota_unavailable", http.StatusServiceUnavailable, "Quota unavailable",
		"It is currently not known whether the quota of the group that this API key belongs to is used up. Try " +
			"again in a moment.",
		"The validation server is disconnected from the manager, and has used up its allowance of Group {group}'s quota.",
		"Check that the manager runs and that the server can reach it. With quotaFailurePolicy: Allow in spec.limits of the " +
			"Group, requests are allowed in the meantime.",
	},
	TooManyFailures: {
		"too_many_failures", http.StatusTooManyRequests, "Too many failures",
		"Too many requests from this address were refused. Correct the API key or the origin, and wait before trying again.",
		"Too many requests from the client's address were refused, so that further failures are not examined.",
		"Check why the earlier requests were refused. If many clients share the address, check that the validation server " +
			"knows the proxy in front of it (--trusted-proxies).",
	},
	Preflight: {
		"preflight", http.StatusNoContent, "Preflight answered",
		"Requests from this origin may be sent, with an API key.",
		"A browser asked whether it may send a request from this origin, and the answer was yes.", "",
	},
	Public: {
		"public", http.StatusOK, "Public", "",
		"The request had no key, and needed none: project {project} of Group {group} has declared its path to be public. Nothing " +
			"of a quota was used.", "",
	},
}
