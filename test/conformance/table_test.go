package conformance

import (
	"strings"

	"github.com/keyward-dev/keyward/server/decision"
)

// testCase is one request, and the outcome that every integration must have.
type testCase struct {
	name    string
	guards  string   // what it guards against
	request string   // METHOD host target; a part that is "-" is as in usual
	headers []string // lines; {name} stands for the text of that key
	project string   // the trusted project
	client  string   // the address that the nearest proxy has seen
	id      string   // the request's id; "" is a new one
	world   string   // which snapshot; "" is the usual one
	want    decision.Code

	except string // integrations that cannot be asked about it: prefixes of their names, separated by '|'

	rates string // what is left of rate limits, as a regular expression

	readable  string // the origin whose pages may read the response
	preflight bool   // if want does not say so
	methods   string // of a preflight: those that are allowed in addition to GET and HEAD
	asked     string // of a preflight: headers that are allowed because it requested them

	// If it is allowed: the name of the key, the project, and the lines that the upstream still sees of headers that Keyward
	// reads.
	key, owner string
	upstream   []string
}

const (
	usualMethod = "GET"
	usualHost   = "cdn.acme.example"
	usualTarget = "/api/scenes/mkt-1"

	worldUnsynced = "unsynced"
	worldStale    = "stale"
	worldFailed   = "failed" // failingIPv4 and failingIPv6 had too many failures

	failingIPv4 = "192.0.2.1"
	failingIPv6 = "2001:db8::1"
)

// bearer is the usual way to present a key.
func bearer(key string) []string { return []string{"Authorization: Bearer {" + key + "}"} }

func with(key string, lines ...string) []string { return append(bearer(key), lines...) }

// acmePage is an origin that marketing and web allow.
const acmePage = "https://www.acme.example"

// asks are the headers of a preflight, which may name headers.
func asks(origin, method string, headers ...string) []string {
	lines := []string{"Origin: " + origin, "Access-Control-Request-Method: " + method}
	if len(headers) > 0 {
		lines = append(lines, "Access-Control-Request-Headers: "+strings.Join(headers, ","))
	}
	return lines
}

// table follows the order of the checks.
var table = []testCase{
	// The snapshot.
	{name: "not synced", guards: "letting requests pass for lack of data", headers: bearer("good"), world: worldUnsynced, want: decision.NotSynced},
	{name: "not synced comes before the path", guards: "telling by the answer to a path that there is no data yet", request: "- - //", world: worldUnsynced, want: decision.NotSynced},
	{name: "stale", guards: "deciding by revocations that are long out of date", headers: bearer("good"), world: worldStale, want: decision.Stale},

	// The path.
	{name: "dot segment", guards: "a content server that resolves '..' after the decision", request: "- - /api/scenes/../scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded dot segment", guards: "a content server that decodes before it resolves '..'", request: "- - /api/%2e%2e/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "dot segment with a parameter", guards: "servlet containers that cut ';x' off and then resolve '..'", request: "- - /api/..;/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "empty segment", guards: "servers that merge slashes, and so serve another path", request: "- - /api//scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "double slash in front", guards: "servers that take the first segment for a host, or merge slashes", request: "- - //api/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded slash", guards: "servers that decode %2f into a separator", request: "- - /api/scenes/mkt-1%2fx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded backslash", guards: "servers on Windows that take a backslash for a separator", request: "- - /api/scenes/mkt-1%5Cx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded twice", guards: "servers behind a proxy, which decode a second time", request: "- - /api/scenes/mkt-%2531", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded NUL", guards: "servers in C, to which a path ends at NUL", request: "- - /api/scenes/mkt-1%00", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "ambiguous path comes before the key", guards: "guesses at whether a key is needed for a path that nobody can read", request: "- - /a/./b", want: decision.PathAmbiguous},
	{name: "encoded once", guards: "routes that encoding gets around", request: "- - /%61pi/scenes/mkt-%31", headers: bearer("good"), key: "good", owner: "marketing"},

	// The forms of the credential.
	{name: "bearer", guards: "the usual form not working", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "bearer in lower case", guards: "clients that write the scheme in lower case", headers: []string{"Authorization: bearer {good}"}, key: "good", owner: "marketing"},
	{name: "bearer in upper case", guards: "clients that write the scheme in capitals", headers: []string{"Authorization: BEARER {good}"}, key: "good", owner: "marketing"},
	{name: "bare", guards: "clients that can set a header's value only, and no scheme", headers: []string{"Authorization: {good}"}, key: "good", owner: "marketing"},
	{name: "x-api-key", guards: "clients that cannot set Authorization", headers: []string{"X-Api-Key: {good}"}, key: "good", owner: "marketing"},
	{name: "the same in both", guards: "clients that send both, to be sure", headers: []string{"Authorization: {good}", "X-Api-Key: {good}"}, key: "good", owner: "marketing"},
	{name: "basic is for somebody else", guards: "an upstream's own Basic authentication broken by the key's", headers: []string{"Authorization: Basic dTpw", "X-Api-Key: {good}"},
		key: "good", owner: "marketing", upstream: []string{"Authorization: Basic dTpw"}},
	{name: "no key", guards: "content served without a key", want: decision.KeyMissing},
	{name: "basic only", guards: "another scheme's credential taken for a key", headers: []string{"Authorization: Basic dTpw"}, want: decision.KeyMissing},
	{name: "bearer and nothing", guards: "an empty key taken for none, or for one", headers: []string{"Authorization: Bearer"}, want: decision.KeyMalformed},
	{name: "not a key", guards: "tokens of somebody else looked up as keys", headers: []string{"Authorization: Bearer eyJhbGciOiJub25lIn0.e30."}, want: decision.KeyMalformed},
	{name: "imported", guards: "holders of a key from another platform, refused for its form", headers: bearer("imported"), key: "imported", owner: "marketing"},
	{name: "imported, bare", guards: "an imported key without a '_' taken for a scheme", headers: []string{"Authorization: {imported}"}, key: "imported", owner: "marketing"},
	{name: "imported, in X-Api-Key", guards: "imported keys in a header of their own", headers: []string{"X-Api-Key: {imported}"}, key: "imported", owner: "marketing"},
	{name: "not imported", guards: "another platform's key taken for one of ours", headers: bearer("another platform's"), want: decision.KeyMalformed},
	{name: "imported, with more behind it", guards: "an imported key compared by its beginning", headers: []string{"Authorization: Bearer {imported}x"}, want: decision.KeyMalformed},
	{name: "a digit wrong", guards: "a key that was copied with too much behind it", headers: []string{"Authorization: Bearer {good}0"}, want: decision.KeyMalformed},
	{name: "something behind", guards: "a key with anything behind it read up to the space", headers: []string{"Authorization: Bearer {good} x"}, want: decision.KeyMalformed},
	{name: "two lines", guards: "two readers of which one takes the first key, and one the last", headers: []string{"Authorization: Bearer {good}", "Authorization: Bearer {good}"}, want: decision.KeyMalformed},
	{name: "two lines of x-api-key", guards: "two readers of X-Api-Key of which one takes the first, and one the last", headers: []string{"X-Api-Key: {good}", "X-Api-Key: {good}"}, want: decision.KeyMalformed},
	{name: "joined by a comma", guards: "a proxy that joined two keys, of which each reader takes another", headers: []string{"Authorization: Bearer {good}, Bearer {good}"}, want: decision.KeyMalformed},
	{name: "different in both", guards: "deciding on one key while the upstream reads the other", headers: []string{"Authorization: {good}", "X-Api-Key: {both}"}, want: decision.KeyMalformed},

	// The key and its versions.
	{name: "unknown", guards: "keys that were never made", headers: bearer("unknown"), want: decision.KeyUnknown},
	{name: "of a group not served here", guards: "keys of Groups that this server was not given", headers: bearer("elsewhere"), want: decision.KeyUnknown},
	{name: "revoked", guards: "a stolen key that was revoked", headers: bearer("revoked"), want: decision.KeyRevoked},
	{name: "expired", guards: "a key beyond its end, to the millisecond", headers: bearer("expired"), want: decision.KeyExpired},
	{name: "not expired yet", guards: "a key that ends a millisecond early", headers: bearer("expiring"), key: "expiring", owner: "marketing"},
	{name: "retired", guards: "a rotated key beyond its overlap, to the millisecond", headers: bearer("retired"), want: decision.KeyRetired},
	{name: "in the overlap", guards: "a rotation that breaks an app before its overlap is over", headers: bearer("retiring"), key: "retiring", owner: "marketing"},
	{name: "suspended", guards: "a suspended key still reading", headers: bearer("suspended"), want: decision.KeySuspended},
	{name: "group frozen", guards: "a frozen Group still served", headers: bearer("frozen"), want: decision.GroupFrozen},
	{name: "group suspended", guards: "a suspended Group still served", headers: bearer("dormant"), want: decision.GroupSuspended},

	// The project.
	{name: "no project", guards: "paths that belong to nobody", request: "- - /elsewhere", headers: bearer("both"), want: decision.ProjectUnknown},
	{name: "other project", guards: "one project's key reading another project", request: "- - /api/scenes/prd-1", headers: bearer("good"), want: decision.ProjectDenied},
	{name: "second project", guards: "a key for two projects reading one only", request: "- - /api/scenes/prd-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "more specific host", guards: "a general path winning over a specific host", request: "- product.acme.example:8443 /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "host in capitals", guards: "a route for a host that capitals get around", request: "- PRODUCT.ACME.example /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "by query", guards: "a route by query that a second parameter hides", request: "- - /api/list?page=2&siteId=42", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "by query, another value", guards: "another site's content by its number", request: "- - /api/list?siteId=43", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "by query, two values", guards: "two values of which the upstream takes the other", request: "- - /api/list?siteId=42&siteId=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, a semicolon", guards: "old servers that split parameters at a semicolon", request: "- - /api/list?siteId=42;siteId=43", headers: bearer("good"), except: "awsauthorizer, 1.0", want: decision.QueryAmbiguous},
	{name: "trusted project", guards: "a gateway that knows the project not being believed", request: "- - /elsewhere", headers: bearer("good"), project: "marketing", key: "good", owner: "marketing"},
	{name: "trusted project without routes", guards: "a project without routes being out of reach", headers: bearer("archivist"), project: "archive", key: "archivist", owner: "archive"},
	{name: "trusted project, not scoped", guards: "a trusted project widening what a key may", headers: bearer("good"), project: "product", want: decision.ProjectDenied},
	{name: "trusted project, unknown", guards: "a project that was renamed in one place only", headers: bearer("good"), project: "nope", want: decision.ProjectUnknown},
	{name: "the implicit project", guards: "Groups without projects owning nothing", request: "- - /any/thing", headers: bearer("solo"), key: "solo", owner: "default"},

	// The origin.
	{name: "origin allowed", guards: "pages of an allowed domain being refused", readable: acmePage, headers: with("good", "Origin: https://www.acme.example"), key: "good", owner: "marketing"},
	{name: "origin in capitals", guards: "origins compared as text", readable: "HTTPS://WWW.ACME.EXAMPLE:443", headers: with("good", "Origin: HTTPS://WWW.ACME.EXAMPLE:443"), key: "good", owner: "marketing"},
	{name: "subdomain", guards: "a wildcard that matches one label only", readable: "https://a.b.shops.acme.example", headers: with("good", "Origin: https://a.b.shops.acme.example"), key: "good", owner: "marketing"},
	{name: "localhost", guards: "development against production data being refused where it is allowed", readable: "http://localhost:5173", headers: with("good", "Origin: http://localhost:5173"), key: "good", owner: "marketing"},
	{name: "foreign origin", guards: "a key found in a page, used on another site", headers: with("good", "Origin: https://evil.example"), want: decision.OriginDenied},
	{name: "origin that looks alike", guards: "evilacme.example for acme.example", headers: with("good", "Origin: https://evilacme.example"), want: decision.OriginDenied},
	{name: "origin on another port", guards: "another server on the same host", headers: with("good", "Origin: https://www.acme.example:8443"), want: decision.OriginDenied},
	{name: "opaque origin", guards: "sandboxed frames and local files vouched for by a Referer", headers: with("good", "Origin: null", "Referer: https://www.acme.example/"), want: decision.OriginDenied},
	{name: "two origins", guards: "a proxy that reads the first of two origins while we read the last", headers: with("good", "Origin: https://www.acme.example", "Origin: https://www.acme.example"), want: decision.OriginDenied},
	{name: "referer allowed", guards: "clients that send Referer only", headers: with("good", "Referer: https://www.acme.example/page?x=1"), key: "good", owner: "marketing"},
	{name: "foreign referer", guards: "an allowed origin in the path of a foreign Referer", headers: with("good", "Referer: https://evil.example/https://www.acme.example/"), want: decision.OriginDenied},
	{name: "origin before referer", guards: "a Referer that the page chose, beside an Origin that it cannot", headers: with("good", "Origin: https://evil.example", "Referer: https://www.acme.example/"), want: decision.OriginDenied},
	{name: "no origin where one is demanded", guards: "scripts without a browser, where only pages may ask", request: "- - /api/scenes/web-1", headers: bearer("browser"), want: decision.OriginMissing},
	{name: "localhost where it is not allowed", guards: "somebody's own machine, in production", request: "- - /api/scenes/web-1", headers: with("browser", "Origin: http://localhost:5173"), want: decision.OriginDenied},
	{name: "origin where one is demanded", guards: "a demanded origin being refused although it is allowed", readable: acmePage, request: "- - /api/scenes/web-1", headers: with("browser", "Origin: https://www.acme.example"), key: "browser", owner: "web"},

	// The permission.
	{name: "head", guards: "HEAD needing a permission of its own", request: "HEAD - -", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "post", guards: "writing with a key to read", request: "POST - -", headers: bearer("good"), want: decision.PermissionDenied},
	{name: "delete", guards: "deleting with a key that has another capability", request: "DELETE - -", headers: bearer("both"), want: decision.PermissionDenied},
	{name: "capability", guards: "a capability that permits nothing", request: "POST - /tenant/checkout/sessions", headers: bearer("both"), key: "both", owner: "marketing"},
	{name: "capability not granted", guards: "a capability without being granted", request: "POST - /tenant/checkout/sessions", headers: bearer("good"), want: decision.PermissionDenied},
	{name: "capability by another method", guards: "a capability by another method than it names", request: "PUT - /tenant/checkout/sessions", headers: bearer("both"), want: decision.PermissionDenied},

	// Too many failures.
	{name: "too many failures", guards: "guessing keys without end", client: failingIPv4, world: worldFailed, want: decision.TooManyFailures},
	{name: "too many failures, with a port", guards: "a port hiding an address that fails", client: failingIPv4 + ":4711", world: worldFailed, headers: bearer("unknown"), want: decision.TooManyFailures},
	{name: "too many failures of the same /64", guards: "a client that takes another of its many IPv6 addresses", client: "2001:db8::ffff:2", world: worldFailed, headers: bearer("revoked"), want: decision.TooManyFailures},
	{name: "too many failures, foreign origin", guards: "probing where a found key works without end", client: failingIPv4, world: worldFailed, headers: with("good", "Origin: https://evil.example"), want: decision.TooManyFailures},
	{name: "too many failures, other project", guards: "probing for projects without end", request: "- - /api/scenes/prd-1", client: failingIPv4, world: worldFailed, headers: bearer("good"), want: decision.TooManyFailures},
	{name: "a good key among failures", guards: "a good key locked out by its neighbours", client: failingIPv4, world: worldFailed, headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "no guess among failures", guards: "a holder's own mistakes answered as guesses", request: "POST - -", client: failingIPv4, world: worldFailed, headers: bearer("good"), want: decision.PermissionDenied},
	{name: "suspended among failures", guards: "the holder of a suspended key not being told", client: failingIPv4, world: worldFailed, headers: bearer("suspended"), want: decision.KeySuspended},
	{name: "failure of a neighbour", guards: "one client locking out another", client: "192.0.2.2", world: worldFailed, want: decision.KeyMissing},
	{name: "failure of the next /64", guards: "one network locking out another", client: "2001:db8:0:1::1", world: worldFailed, want: decision.KeyMissing},
	{name: "a forged address does not help", guards: "an address that the client has made up in front", client: failingIPv4, world: worldFailed, headers: []string{"X-Forwarded-For: 198.51.100.7"}, want: decision.TooManyFailures},
	{name: "a forged list does not help", guards: "a list of addresses that the client has made up", client: failingIPv4, world: worldFailed, headers: []string{"X-Forwarded-For: 198.51.100.7, 198.51.100.8"}, want: decision.TooManyFailures},
	{name: "a header of another proxy does not help", guards: "an address in a header that this proxy does not write", client: failingIPv4, world: worldFailed, headers: []string{"Forwarded: for=198.51.100.7", "X-Client-Ip: 198.51.100.7"}, want: decision.TooManyFailures},
	{name: "an address does not harm others", guards: "locking out others by naming their address", client: "192.0.2.3", world: worldFailed, headers: []string{"X-Forwarded-For: " + failingIPv4}, want: decision.KeyMissing},
	{name: "no address", guards: "locking out a whole gateway for one of its clients", world: worldFailed, want: decision.KeyMissing},

	// Preflights carry no key.
	{name: "preflight", guards: "browsers being refused for lack of a key, which a preflight cannot carry", request: "OPTIONS - -", headers: asks(acmePage, "GET"), readable: acmePage, want: decision.Preflight},
	{name: "preflight with headers", guards: "headers that a page may not send", request: "OPTIONS - -", headers: asks(acmePage, "GET", "authorization,x-trace-id"), readable: acmePage, asked: ", authorization, x-trace-id", want: decision.Preflight},
	{name: "preflight that asks for a reserved header", guards: "pages that set headers which only Keyward sets", request: "OPTIONS - -", headers: asks(acmePage, "GET", "x-keyward-group,*"), readable: acmePage, want: decision.Preflight},
	{name: "preflight of a capability", guards: "methods beyond GET that a capability permits", request: "OPTIONS - /tenant/checkout/sessions", headers: asks(acmePage, "POST"), readable: acmePage, methods: ", POST", want: decision.Preflight},
	{name: "preflight of what nobody may", guards: "a preflight that promises what every key is refused", request: "OPTIONS - -", headers: asks(acmePage, "DELETE"), readable: acmePage, want: decision.Preflight},
	{name: "preflight from localhost", guards: "pages on a developer's machine", request: "OPTIONS - -", headers: asks("http://localhost:5173", "GET"), readable: "http://localhost:5173", want: decision.Preflight},
	{name: "preflight with a trusted project", guards: "preflights that ask routes where the project is known", request: "OPTIONS - /elsewhere", headers: asks(acmePage, "GET"), project: "web", readable: acmePage, want: decision.Preflight},
	{name: "preflight with a key is a preflight", guards: "a key that decides a request without one", request: "OPTIONS - -", headers: append(asks(acmePage, "GET"), bearer("revoked")...), readable: acmePage, want: decision.Preflight},
	{name: "preflight of a foreign origin", guards: "foreign pages learning what they may send", request: "OPTIONS - -", headers: asks("https://evil.example", "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight of an origin that looks alike", guards: "an origin that an allowed one is a prefix of", request: "OPTIONS - -", headers: asks("https://www.acme.example.evil.example", "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight of an opaque origin", guards: "opaque pages learning what they may send", request: "OPTIONS - -", headers: asks("null", "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight for another group's content", guards: "an origin allowed by one Group asking about another's content", request: "OPTIONS - /any/thing", headers: asks(acmePage, "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight with two methods", guards: "two methods of which each reader takes another", request: "OPTIONS - -", headers: append(asks(acmePage, "GET"), "Access-Control-Request-Method: PUT"), readable: acmePage, want: decision.KeyMissing},
	{name: "preflight of an ambiguous path", guards: "preflights for paths that nobody can read", request: "OPTIONS - /api/../x", headers: asks(acmePage, "GET"), preflight: true, readable: acmePage, want: decision.PathAmbiguous},
	{name: "preflight before the snapshot", guards: "promises for lack of data", request: "OPTIONS - -", headers: asks(acmePage, "GET"), world: worldUnsynced, preflight: true, want: decision.NotSynced},
	{name: "preflight among failures", guards: "preflights, which carry no key, counted as guesses", request: "OPTIONS - -", headers: asks(acmePage, "GET"), client: failingIPv4, world: worldFailed, readable: acmePage, want: decision.Preflight},
	{name: "foreign preflight among failures", guards: "a flood of foreign preflights", request: "OPTIONS - -", headers: asks("https://evil.example", "GET"), client: failingIPv4, world: worldFailed, preflight: true, want: decision.TooManyFailures},
	{name: "options that ask nothing", guards: "OPTIONS passing without a key because it looks like a preflight", request: "OPTIONS - -", headers: []string{"Origin: " + acmePage}, readable: acmePage, want: decision.KeyMissing},

	// Pages of allowed origins may read why they were denied.
	{name: "readable: no key", guards: "pages that cannot read that the key is missing", headers: []string{"Origin: " + acmePage}, readable: acmePage, want: decision.KeyMissing},
	{name: "readable: unknown key", guards: "pages that cannot read that the key is unknown", headers: with("unknown", "Origin: "+acmePage), readable: acmePage, want: decision.KeyUnknown},
	{name: "readable: revoked key", guards: "pages that cannot read that the key was revoked", headers: with("revoked", "Origin: "+acmePage), readable: acmePage, want: decision.KeyRevoked},
	{name: "readable: no permission", guards: "pages that cannot read that the method is not permitted", request: "POST - -", headers: with("good", "Origin: "+acmePage), readable: acmePage, want: decision.PermissionDenied},
	{name: "readable: no project", guards: "pages that cannot read that no project owns the path", request: "- - /elsewhere", headers: with("good", "Origin: "+acmePage), readable: acmePage, want: decision.ProjectUnknown},
	{name: "readable: too many failures", guards: "pages that cannot read how long to wait", headers: with("unknown", "Origin: "+acmePage), client: failingIPv4, world: worldFailed, readable: acmePage, want: decision.TooManyFailures},
	{name: "not readable: the other project's origin", guards: "pages of one project reading answers about another", request: "- - /api/scenes/prd-1", headers: with("good", "Origin: "+acmePage), want: decision.ProjectDenied},
	{name: "not readable: no key, foreign origin", guards: "foreign pages probing with a visitor's network", headers: []string{"Origin: https://evil.example"}, want: decision.KeyMissing},
	{name: "not readable: no key, opaque origin", guards: "opaque pages probing with a visitor's network", headers: []string{"Origin: null"}, want: decision.KeyMissing},

	// What the upstream sees.
	{name: "spoofed context", guards: "clients that tell the upstream whose content they want", key: "good", owner: "marketing",
		headers: with("good", "X-Keyward-Group: tenants/evil", "X-Keyward-Context-Database: evil", "X-Keyward-Anything: evil", "X-Other: stays"), upstream: []string{"X-Other: stays"}},
	{name: "spoofed context, lower case", guards: "context under names in lower case", key: "good", owner: "marketing", headers: with("good", "x-keyward-project: evil", "x-keyward-key-id: evil")},
	{name: "spoofed context, underscores", guards: "context under names that CGI folds into ours", key: "good", owner: "marketing", headers: with("good", "X_Keyward_Group: evil", "X-Keyward_Project: evil", "x_keyward_context_bucketname: evil")},
	{name: "spoofed context, other characters", guards: "context under names that lighttpd's CGI folds into ours", key: "good", owner: "marketing",
		headers: with("good", "X.Keyward.Group: evil", "X!Keyward|Project: evil", "x.keyward.context.database: evil", "X.Request.Id: evil", "X~Api~Key: evil")},
	{name: "request id taken", guards: "a request that cannot be followed from the client to the logs", headers: with("good", "X-Request-Id: 5f0c3a52-0d1c"), id: "5f0c3a52-0d1c", key: "good", owner: "marketing"},
	{name: "request id taken, denied", guards: "a refusal that cannot be followed from the client to the logs", headers: []string{"X-Request-Id: 5f0c3a52-0d1c"}, id: "5f0c3a52-0d1c", want: decision.KeyMissing},
	{name: "request id of two lines", guards: "two ids of which each log has another", headers: with("good", "X-Request-Id: a", "X-Request-Id: b"), key: "good", owner: "marketing"},
	{name: "request id with a space", guards: "ids that break a log's columns", headers: with("good", "X-Request-Id: a b"), key: "good", owner: "marketing"},
	{name: "request id of markup", guards: "ids that are markup in somebody's dashboard", headers: []string{"X-Request-Id: <script>"}, want: decision.KeyMissing},
	{name: "request id that is too long", guards: "ids that fill logs", headers: with("good", "X-Request-Id: "+strings.Repeat("a", 129)), key: "good", owner: "marketing"},
	{name: "request id that is a key", guards: "a key that gets into logs as an id", headers: with("good", "X-Request-Id: {good}"), key: "good", owner: "marketing"},
	{name: "request id with underscores", guards: "an id under a name that CGI folds into ours", headers: with("good", "X_Request_Id: other", "X-Request-Id: mine"), id: "mine", key: "good", owner: "marketing"},
	{name: "spoofed project is not trusted", guards: "a client that chooses its project", headers: with("good", "X-Keyward-Project: marketing"), request: "- - /elsewhere", want: decision.ProjectUnknown},

	// Adversaries of the path.
	{name: "an encoded slash in capitals", guards: "filters that know %2f and not %2F", request: "- - /api/scenes%2Fmkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "an encoded slash alone", guards: "an encoded slash that is a whole segment", request: "- - /%2f", headers: bearer("solo"), want: decision.PathAmbiguous},
	{name: "double encoding of a dot segment", guards: "servers that decode twice and then resolve", request: "- - /api/%252e%252e/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "half encoded dot segment", guards: "filters that look for '..' or '%2e%2e' only", request: "- - /api/.%2E/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "dot segment at the end", guards: "a '..' without a slash behind it", request: "- - /api/scenes/mkt-1/..", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "dot segment behind backslashes", guards: "servers on Windows that resolve '\\..\\'", request: `- - /api/scenes\..\mkt-1`, headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "overlong slash", guards: "decoders that accept overlong UTF-8 as a slash", request: "- - /api/scenes/mkt-1%c0%afx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "overlong dots", guards: "decoders that accept overlong UTF-8 as dots", request: "- - /api/%c0%ae%c0%ae/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "half a character", guards: "paths that each decoder repairs differently", request: "- - /api/scenes/mkt-1%c3", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded newline", guards: "a second line in a proxy's header, or in a log", request: "- - /api/scenes/mkt-1%0d%0aX-A:%20b", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded tab", guards: "control characters that some servers strip", request: "- - /api/scenes/mkt-1%09", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded DEL", guards: "the control character that is not below a space", request: "- - /api/scenes/mkt-1%7f", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded question mark", guards: "a query that becomes one when it is decoded too early", request: "- - /api/scenes/mkt-1%3fx", except: "aws", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "bad escape", guards: "escapes that each decoder repairs differently", request: "- - /api/scenes/mkt-1%zz", headers: bearer("good"), except: verifyURL, want: decision.PathAmbiguous},
	{name: "escape of Microsoft's", guards: "%u002f, which IIS once decoded", request: "- - /api/scenes/mkt-1%u002fx", headers: bearer("good"), except: verifyURL, want: decision.PathAmbiguous},
	{name: "path in capitals", guards: "routes that fold case while file systems do not", request: "- - /API/scenes/mkt-1", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "parameter in a segment", guards: "servlet containers that cut ';x' off a segment", request: "- - /api/scenes;x/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "prefix of a path", guards: "routes matched as prefixes", request: "- - /api/scenes/", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "the wildcard is one segment", guards: "'*' that matches across slashes", request: "- - /api/scenes/mkt-1/x", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "encoded query", guards: "a query by which routes decide, hidden by encoding", request: "- - /api/list?site%49d=%342", except: "aws", headers: bearer("good"), key: "good", owner: "marketing"},

	// Adversaries of the host.
	{name: "host with a trailing dot", guards: "a route for a host that a dot gets around", request: "- product.acme.example. /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "host with a dot and a port", guards: "a route for a host that a dot before the port gets around", request: "- product.acme.example.:8443 /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "host with the default port", guards: "a route for a host that :443 gets around", request: "- product.acme.example:443 /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "lookalike host", guards: "routes for hosts matched as suffixes", request: "- evilproduct.acme.example /elsewhere", headers: bearer("both"), want: decision.ProjectUnknown},
	{name: "suffix host", guards: "routes for hosts matched as prefixes", request: "- product.acme.example.evil.example /elsewhere", headers: bearer("both"), want: decision.ProjectUnknown},
	{name: "host in punycode", guards: "international hosts matched by nobody", request: "- xn--mnchen-3ya.example /elsewhere", headers: bearer("both"), key: "both", owner: "product"},
	{name: "host in punycode and capitals", guards: "international hosts that capitals get around", request: "- XN--MNCHEN-3YA.example. /elsewhere", headers: bearer("both"), key: "both", owner: "product"},

	// Adversaries of the origin.
	{name: "origin with a trailing dot", guards: "browsers that compare what is allowed with what they sent, dot included", readable: acmePage + ".", headers: with("good", "Origin: "+acmePage+"."), key: "good", owner: "marketing"},
	{name: "origin with two dots at the end", guards: "hosts that are none", headers: with("good", "Origin: "+acmePage+".."), want: decision.OriginDenied},
	{name: "origin with user information", guards: "https://allowed@evil, which starts like an allowed one", headers: with("good", "Origin: https://www.acme.example@evil.example"), want: decision.OriginDenied},
	{name: "origin with a password", guards: "a port that is a password", headers: with("good", "Origin: https://www.acme.example:443@evil.example"), want: decision.OriginDenied},
	{name: "referer with user information", guards: "the same in a Referer", headers: with("good", "Referer: https://www.acme.example@evil.example/"), want: decision.OriginDenied},
	{name: "origin by another scheme", guards: "an attacker in the network, who can serve http", headers: with("good", "Origin: http://www.acme.example"), want: decision.OriginDenied},
	{name: "origin that is a suffix", guards: "https://allowed.evil.example", headers: with("good", "Origin: https://www.acme.example.evil.example"), want: decision.OriginDenied},
	{name: "origin that is the wildcard's domain", guards: "'*.shops' that matches shops itself", headers: with("good", "Origin: https://shops.acme.example"), want: decision.OriginDenied},
	{name: "origin that ends like the wildcard's", guards: "'*.shops' matched as a suffix without its dot", headers: with("good", "Origin: https://evilshops.acme.example"), want: decision.OriginDenied},
	{name: "origin with an empty label", guards: "'.shops' that is no subdomain", headers: with("good", "Origin: https://.shops.acme.example"), want: decision.OriginDenied},
	{name: "origin of mixed scripts", guards: "a Cyrillic 'а' for a Latin one", headers: with("good", "Origin: https://www.\u0430cme.example"), want: decision.OriginDenied},
	{name: "origin with a fullwidth dot", guards: "dots that only some normalize", headers: with("good", "Origin: https://www\uff0eacme\uff0eexample.evil.example"), want: decision.OriginDenied},
	{name: "origin with an encoded dot", guards: "hosts that are decoded", headers: with("good", "Origin: https://www%2eacme.example"), want: decision.OriginDenied},
	{name: "origin with a path", guards: "a Referer taken for an Origin", headers: with("good", "Origin: https://www.acme.example/"), want: decision.OriginDenied},
	{name: "origin with a backslash", guards: "parsers to which '\\' ends the host, and others", headers: with("good", `Origin: https://www.acme.example\.evil.example`), want: decision.OriginDenied},
	{name: "origin with port 0", guards: "ports that are none", headers: with("good", "Origin: https://www.acme.example:0"), want: decision.OriginDenied},
	{name: "origin with an endless port", guards: "ports that overflow into 443", headers: with("good", "Origin: https://www.acme.example:65979"), want: decision.OriginDenied},
	{name: "two origins in one header", guards: "lists of origins of which the first or the last counts", headers: with("good", "Origin: https://www.acme.example https://evil.example"), want: decision.OriginDenied},
	{name: "two origins with a comma", guards: "two lines that a proxy has joined", headers: with("good", "Origin: https://www.acme.example, https://evil.example"), want: decision.OriginDenied},
	{name: "overlong origin", guards: "hosts that are cut off where they are compared", headers: with("good", "Origin: https://"+strings.Repeat("a.", 200)+"shops.acme.example"), want: decision.OriginDenied},
	{name: "localhost lookalike", guards: "localhost matched as a prefix", headers: with("good", "Origin: http://localhost.evil.example"), want: decision.OriginDenied},
	{name: "loopback lookalike", guards: "127. matched as a prefix", headers: with("good", "Origin: http://127.0.0.1.evil.example"), want: decision.OriginDenied},
	{name: "loopback in octal", guards: "addresses that only some parse", headers: with("good", "Origin: http://0177.0.0.1"), want: decision.OriginDenied},
	{name: "Null is not null", guards: "an opaque origin under another spelling", headers: with("good", "Origin: Null"), want: decision.OriginDenied},

	// Adversaries of the credential.
	{name: "bearer in mixed case", guards: "schemes compared by case", headers: []string{"Authorization: bEaReR {good}"}, key: "good", owner: "marketing"},
	{name: "bearer and many spaces", guards: "clients that pad the scheme", headers: []string{"Authorization: Bearer    {good}"}, key: "good", owner: "marketing"},
	{name: "bearer and a tab", guards: "a tab that one reader takes for a space", headers: []string{"Authorization: Bearer\t{good}"}, want: decision.KeyMalformed},
	{name: "tabs around a key", guards: "white space around a value, which is not part of it", headers: []string{"X-Api-Key: \t{good}\t"}, key: "good", owner: "marketing"},
	{name: "a tab in a key", guards: "white space in a key that one reader drops", headers: []string{"X-Api-Key: {good}\tx"}, want: decision.KeyMalformed},
	{name: "no space behind bearer", guards: "a scheme cut off by its length", headers: []string{"Authorization: Bearer{good}"}, want: decision.KeyMalformed},
	{name: "bearer twice", guards: "a scheme that is cut off again and again", headers: []string{"Authorization: Bearer Bearer {good}"}, want: decision.KeyMalformed},
	{name: "a key and a comma", guards: "a list with an empty element", headers: []string{"Authorization: Bearer {good},"}, want: decision.KeyMalformed},
	{name: "keys joined by a comma", guards: "two lines of X-Api-Key that a proxy has joined", headers: []string{"X-Api-Key: {good}, {both}"}, want: decision.KeyMalformed},
	{name: "basic and bearer joined", guards: "a key hidden behind another scheme", headers: []string{"Authorization: Basic dTpw, Bearer {good}"}, want: decision.KeyMalformed},
	{name: "a key in quotes", guards: "quotes that one reader strips", headers: []string{`Authorization: Bearer "{good}"`}, want: decision.KeyMalformed},
	{name: "a key in the query", guards: "keys in URLs, and so in logs", request: "- - /api/scenes/mkt-1?api_key=x", want: decision.KeyMissing},
	{name: "a cookie is no key", guards: "keys that browsers would send by themselves", headers: []string{"Cookie: x-api-key={good}"}, want: decision.KeyMissing},
	{name: "overlong key", guards: "digesting megabytes for strangers", headers: []string{"X-Api-Key: " + strings.Repeat("a", 60<<10)}, want: decision.KeyMalformed},
	{name: "64 KiB of a header", guards: "headers that one integration cannot carry, while others can", except: "aws", headers: with("good", "X-Large: "+strings.Repeat("x", 64<<10)), key: "good", owner: "marketing"},
	{name: "64 KiB of a referer", guards: "parsing megabytes for strangers", headers: with("good", "Referer: https://evil.example/"+strings.Repeat("x", 60<<10)), want: decision.OriginDenied},
	{name: "a method in lower case", guards: "methods compared without case, where upstreams do", request: "get - -", headers: bearer("good"), want: decision.PermissionDenied},
	{name: "a method of nobody's", guards: "unknown methods taken for reading", request: "PROPFIND - -", headers: bearer("good"), want: decision.PermissionDenied},
}
