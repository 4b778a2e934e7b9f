package doortest

import (
	"strings"

	"github.com/keyward-dev/keyward/server/decision"
)

// testCase is one request, and what every door must make of it.
type testCase struct {
	name    string
	request string   // METHOD host target; a part that is "-" is as in usual
	headers []string // lines; {name} stands for the text of that key
	project string   // the trusted project
	client  string   // the address that the nearest proxy has seen
	id      string   // the request's id; "" is a new one
	world   string   // which snapshot; "" is the usual one
	want    decision.Code

	readable  string // the origin whose pages may read the answer
	preflight bool   // where want does not say so
	methods   string // of a preflight, that are allowed beside GET and HEAD
	asked     string // of a preflight, headers that are allowed because they were asked for

	// Of what is allowed: the key by its name, the project, and the lines that the upstream
	// still sees of headers that Keyward looks at.
	key, owner string
	upstream   []string
}

const (
	usualMethod = "GET"
	usualHost   = "cdn.acme.example"
	usualTarget = "/api/scenes/mkt-1"

	worldUnsynced = "unsynced"
	worldStale    = "stale"
	worldFailed   = "failed" // in which failingIPv4 and failingIPv6 had too many failures

	failingIPv4 = "192.0.2.1"
	failingIPv6 = "2001:db8::1"
)

// bearer is the usual way to present a key.
func bearer(key string) []string { return []string{"Authorization: Bearer {" + key + "}"} }

func with(key string, lines ...string) []string { return append(bearer(key), lines...) }

// acmePage is an origin that marketing and web allow.
const acmePage = "https://www.acme.example"

// asks is a preflight's: it may name headers.
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
	{name: "not synced", headers: bearer("good"), world: worldUnsynced, want: decision.NotSynced},
	{name: "not synced comes before the path", request: "- - //", world: worldUnsynced, want: decision.NotSynced},
	{name: "stale", headers: bearer("good"), world: worldStale, want: decision.Stale},

	// The path.
	{name: "dot segment", request: "- - /api/scenes/../scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded dot segment", request: "- - /api/%2e%2e/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "dot segment with a parameter", request: "- - /api/..;/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "empty segment", request: "- - /api//scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "double slash in front", request: "- - //api/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded slash", request: "- - /api/scenes/mkt-1%2fx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded backslash", request: "- - /api/scenes/mkt-1%5Cx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded twice", request: "- - /api/scenes/mkt-%2531", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "encoded NUL", request: "- - /api/scenes/mkt-1%00", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "ambiguous path comes before the key", request: "- - /a/./b", want: decision.PathAmbiguous},
	{name: "encoded once", request: "- - /%61pi/scenes/mkt-%31", headers: bearer("good"), key: "good", owner: "marketing"},

	// The forms of the credential.
	{name: "bearer", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "bearer in lower case", headers: []string{"Authorization: bearer {good}"}, key: "good", owner: "marketing"},
	{name: "bearer in upper case", headers: []string{"Authorization: BEARER {good}"}, key: "good", owner: "marketing"},
	{name: "bare", headers: []string{"Authorization: {good}"}, key: "good", owner: "marketing"},
	{name: "x-api-key", headers: []string{"X-Api-Key: {good}"}, key: "good", owner: "marketing"},
	{name: "the same in both", headers: []string{"Authorization: {good}", "X-Api-Key: {good}"}, key: "good", owner: "marketing"},
	{name: "basic is for somebody else", headers: []string{"Authorization: Basic dTpw", "X-Api-Key: {good}"},
		key: "good", owner: "marketing", upstream: []string{"Authorization: Basic dTpw"}},
	{name: "no key", want: decision.KeyMissing},
	{name: "basic only", headers: []string{"Authorization: Basic dTpw"}, want: decision.KeyMissing},
	{name: "bearer and nothing", headers: []string{"Authorization: Bearer"}, want: decision.KeyMalformed},
	{name: "not a key", headers: []string{"Authorization: Bearer eyJhbGciOiJub25lIn0.e30."}, want: decision.KeyMalformed},
	{name: "a digit wrong", headers: []string{"Authorization: Bearer {good}0"}, want: decision.KeyMalformed},
	{name: "something behind", headers: []string{"Authorization: Bearer {good} x"}, want: decision.KeyMalformed},
	{name: "two lines", headers: []string{"Authorization: Bearer {good}", "Authorization: Bearer {good}"}, want: decision.KeyMalformed},
	{name: "two lines of x-api-key", headers: []string{"X-Api-Key: {good}", "X-Api-Key: {good}"}, want: decision.KeyMalformed},
	{name: "joined by a comma", headers: []string{"Authorization: Bearer {good}, Bearer {good}"}, want: decision.KeyMalformed},
	{name: "different in both", headers: []string{"Authorization: {good}", "X-Api-Key: {both}"}, want: decision.KeyMalformed},

	// The key and its versions.
	{name: "unknown", headers: bearer("unknown"), want: decision.KeyUnknown},
	{name: "of a group not served here", headers: bearer("elsewhere"), want: decision.KeyUnknown},
	{name: "revoked", headers: bearer("revoked"), want: decision.KeyRevoked},
	{name: "expired", headers: bearer("expired"), want: decision.KeyExpired},
	{name: "not expired yet", headers: bearer("expiring"), key: "expiring", owner: "marketing"},
	{name: "retired", headers: bearer("retired"), want: decision.KeyRetired},
	{name: "in the overlap", headers: bearer("retiring"), key: "retiring", owner: "marketing"},
	{name: "suspended", headers: bearer("suspended"), want: decision.KeySuspended},
	{name: "group frozen", headers: bearer("frozen"), want: decision.GroupFrozen},
	{name: "group suspended", headers: bearer("dormant"), want: decision.GroupSuspended},

	// The project.
	{name: "no project", request: "- - /elsewhere", headers: bearer("both"), want: decision.ProjectUnknown},
	{name: "other project", request: "- - /api/scenes/prd-1", headers: bearer("good"), want: decision.ProjectDenied},
	{name: "second project", request: "- - /api/scenes/prd-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "more specific host", request: "- product.acme.example:8443 /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "host in capitals", request: "- PRODUCT.ACME.example /api/scenes/mkt-1", headers: bearer("both"), key: "both", owner: "product"},
	{name: "by query", request: "- - /api/list?page=2&siteId=42", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "by query, another value", request: "- - /api/list?siteId=43", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "by query, two values", request: "- - /api/list?siteId=42&siteId=43", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "by query, a semicolon", request: "- - /api/list?siteId=42;siteId=43", headers: bearer("good"), want: decision.ProjectUnknown},
	{name: "trusted project", request: "- - /elsewhere", headers: bearer("good"), project: "marketing", key: "good", owner: "marketing"},
	{name: "trusted project without routes", headers: bearer("archivist"), project: "archive", key: "archivist", owner: "archive"},
	{name: "trusted project, not scoped", headers: bearer("good"), project: "product", want: decision.ProjectDenied},
	{name: "trusted project, unknown", headers: bearer("good"), project: "nope", want: decision.ProjectUnknown},
	{name: "the implicit project", request: "- - /any/thing", headers: bearer("solo"), key: "solo", owner: "default"},

	// The origin.
	{name: "origin allowed", readable: acmePage, headers: with("good", "Origin: https://www.acme.example"), key: "good", owner: "marketing"},
	{name: "origin in capitals", readable: acmePage, headers: with("good", "Origin: HTTPS://WWW.ACME.EXAMPLE:443"), key: "good", owner: "marketing"},
	{name: "subdomain", readable: "https://a.b.shops.acme.example", headers: with("good", "Origin: https://a.b.shops.acme.example"), key: "good", owner: "marketing"},
	{name: "localhost", readable: "http://localhost:5173", headers: with("good", "Origin: http://localhost:5173"), key: "good", owner: "marketing"},
	{name: "foreign origin", headers: with("good", "Origin: https://evil.example"), want: decision.OriginDenied},
	{name: "origin that looks alike", headers: with("good", "Origin: https://evilacme.example"), want: decision.OriginDenied},
	{name: "origin on another port", headers: with("good", "Origin: https://www.acme.example:8443"), want: decision.OriginDenied},
	{name: "opaque origin", headers: with("good", "Origin: null", "Referer: https://www.acme.example/"), want: decision.OriginDenied},
	{name: "two origins", headers: with("good", "Origin: https://www.acme.example", "Origin: https://www.acme.example"), want: decision.OriginDenied},
	{name: "referer allowed", headers: with("good", "Referer: https://www.acme.example/page?x=1"), key: "good", owner: "marketing"},
	{name: "foreign referer", headers: with("good", "Referer: https://evil.example/https://www.acme.example/"), want: decision.OriginDenied},
	{name: "origin before referer", headers: with("good", "Origin: https://evil.example", "Referer: https://www.acme.example/"), want: decision.OriginDenied},
	{name: "no origin where one is demanded", request: "- - /api/scenes/web-1", headers: bearer("browser"), want: decision.OriginMissing},
	{name: "localhost where it is not allowed", request: "- - /api/scenes/web-1", headers: with("browser", "Origin: http://localhost:5173"), want: decision.OriginDenied},
	{name: "origin where one is demanded", readable: acmePage, request: "- - /api/scenes/web-1", headers: with("browser", "Origin: https://www.acme.example"), key: "browser", owner: "web"},

	// The permission.
	{name: "head", request: "HEAD - -", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "post", request: "POST - -", headers: bearer("good"), want: decision.PermissionDenied},
	{name: "delete", request: "DELETE - -", headers: bearer("both"), want: decision.PermissionDenied},
	{name: "capability", request: "POST - /tenant/checkout/sessions", headers: bearer("both"), key: "both", owner: "marketing"},
	{name: "capability not granted", request: "POST - /tenant/checkout/sessions", headers: bearer("good"), want: decision.PermissionDenied},
	{name: "capability by another method", request: "PUT - /tenant/checkout/sessions", headers: bearer("both"), want: decision.PermissionDenied},

	// Too many failures.
	{name: "too many failures", client: failingIPv4, world: worldFailed, want: decision.TooManyFailures},
	{name: "too many failures, with a port", client: failingIPv4 + ":4711", world: worldFailed, headers: bearer("unknown"), want: decision.TooManyFailures},
	{name: "too many failures of the same /64", client: "2001:db8::ffff:2", world: worldFailed, headers: bearer("revoked"), want: decision.TooManyFailures},
	{name: "too many failures, foreign origin", client: failingIPv4, world: worldFailed, headers: with("good", "Origin: https://evil.example"), want: decision.TooManyFailures},
	{name: "too many failures, other project", request: "- - /api/scenes/prd-1", client: failingIPv4, world: worldFailed, headers: bearer("good"), want: decision.TooManyFailures},
	{name: "a good key among failures", client: failingIPv4, world: worldFailed, headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "no guess among failures", request: "POST - -", client: failingIPv4, world: worldFailed, headers: bearer("good"), want: decision.PermissionDenied},
	{name: "suspended among failures", client: failingIPv4, world: worldFailed, headers: bearer("suspended"), want: decision.KeySuspended},
	{name: "failure of a neighbour", client: "192.0.2.2", world: worldFailed, want: decision.KeyMissing},
	{name: "failure of the next /64", client: "2001:db8:0:1::1", world: worldFailed, want: decision.KeyMissing},
	{name: "a forged address does not help", client: failingIPv4, world: worldFailed, headers: []string{"X-Forwarded-For: 198.51.100.7"}, want: decision.TooManyFailures},
	{name: "a forged list does not help", client: failingIPv4, world: worldFailed, headers: []string{"X-Forwarded-For: 198.51.100.7, 198.51.100.8"}, want: decision.TooManyFailures},
	{name: "a header of another proxy does not help", client: failingIPv4, world: worldFailed, headers: []string{"Forwarded: for=198.51.100.7", "X-Client-Ip: 198.51.100.7"}, want: decision.TooManyFailures},
	{name: "an address does not harm others", client: "192.0.2.3", world: worldFailed, headers: []string{"X-Forwarded-For: " + failingIPv4}, want: decision.KeyMissing},
	{name: "no address", world: worldFailed, want: decision.KeyMissing},

	// Preflights carry no key.
	{name: "preflight", request: "OPTIONS - -", headers: asks(acmePage, "GET"), readable: acmePage, want: decision.Preflight},
	{name: "preflight with headers", request: "OPTIONS - -", headers: asks(acmePage, "GET", "authorization,x-trace-id"), readable: acmePage, asked: ", authorization, x-trace-id", want: decision.Preflight},
	{name: "preflight that asks for a reserved header", request: "OPTIONS - -", headers: asks(acmePage, "GET", "x-keyward-group,*"), readable: acmePage, want: decision.Preflight},
	{name: "preflight of a capability", request: "OPTIONS - /tenant/checkout/sessions", headers: asks(acmePage, "POST"), readable: acmePage, methods: ", POST", want: decision.Preflight},
	{name: "preflight of what nobody may", request: "OPTIONS - -", headers: asks(acmePage, "DELETE"), readable: acmePage, want: decision.Preflight},
	{name: "preflight from localhost", request: "OPTIONS - -", headers: asks("http://localhost:5173", "GET"), readable: "http://localhost:5173", want: decision.Preflight},
	{name: "preflight with a trusted project", request: "OPTIONS - /elsewhere", headers: asks(acmePage, "GET"), project: "web", readable: acmePage, want: decision.Preflight},
	{name: "preflight with a key is a preflight", request: "OPTIONS - -", headers: append(asks(acmePage, "GET"), bearer("revoked")...), readable: acmePage, want: decision.Preflight},
	{name: "preflight of a foreign origin", request: "OPTIONS - -", headers: asks("https://evil.example", "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight of an origin that looks alike", request: "OPTIONS - -", headers: asks("https://www.acme.example.evil.example", "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight of an opaque origin", request: "OPTIONS - -", headers: asks("null", "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight for another group's content", request: "OPTIONS - /any/thing", headers: asks(acmePage, "GET"), preflight: true, want: decision.OriginDenied},
	{name: "preflight with two methods", request: "OPTIONS - -", headers: append(asks(acmePage, "GET"), "Access-Control-Request-Method: PUT"), readable: acmePage, want: decision.KeyMissing},
	{name: "preflight of an ambiguous path", request: "OPTIONS - /api/../x", headers: asks(acmePage, "GET"), preflight: true, readable: acmePage, want: decision.PathAmbiguous},
	{name: "preflight before the snapshot", request: "OPTIONS - -", headers: asks(acmePage, "GET"), world: worldUnsynced, preflight: true, want: decision.NotSynced},
	{name: "preflight among failures", request: "OPTIONS - -", headers: asks(acmePage, "GET"), client: failingIPv4, world: worldFailed, readable: acmePage, want: decision.Preflight},
	{name: "foreign preflight among failures", request: "OPTIONS - -", headers: asks("https://evil.example", "GET"), client: failingIPv4, world: worldFailed, preflight: true, want: decision.TooManyFailures},
	{name: "options that ask nothing", request: "OPTIONS - -", headers: []string{"Origin: " + acmePage}, readable: acmePage, want: decision.KeyMissing},

	// Pages of allowed origins may read why they were denied.
	{name: "readable: no key", headers: []string{"Origin: " + acmePage}, readable: acmePage, want: decision.KeyMissing},
	{name: "readable: unknown key", headers: with("unknown", "Origin: "+acmePage), readable: acmePage, want: decision.KeyUnknown},
	{name: "readable: revoked key", headers: with("revoked", "Origin: "+acmePage), readable: acmePage, want: decision.KeyRevoked},
	{name: "readable: no permission", request: "POST - -", headers: with("good", "Origin: "+acmePage), readable: acmePage, want: decision.PermissionDenied},
	{name: "readable: no project", request: "- - /elsewhere", headers: with("good", "Origin: "+acmePage), readable: acmePage, want: decision.ProjectUnknown},
	{name: "readable: too many failures", headers: with("unknown", "Origin: "+acmePage), client: failingIPv4, world: worldFailed, readable: acmePage, want: decision.TooManyFailures},
	{name: "not readable: the other project's origin", request: "- - /api/scenes/prd-1", headers: with("good", "Origin: "+acmePage), want: decision.ProjectDenied},
	{name: "not readable: no key, foreign origin", headers: []string{"Origin: https://evil.example"}, want: decision.KeyMissing},
	{name: "not readable: no key, opaque origin", headers: []string{"Origin: null"}, want: decision.KeyMissing},

	// What the upstream sees.
	{name: "spoofed context", key: "good", owner: "marketing",
		headers: with("good", "X-Keyward-Group: tenants/evil", "X-Keyward-Context-Database: evil", "X-Keyward-Anything: evil", "X-Other: stays"), upstream: []string{"X-Other: stays"}},
	{name: "spoofed context, lower case", key: "good", owner: "marketing", headers: with("good", "x-keyward-project: evil", "x-keyward-key-id: evil")},
	{name: "spoofed context, underscores", key: "good", owner: "marketing", headers: with("good", "X_Keyward_Group: evil", "X-Keyward_Project: evil", "x_keyward_context_bucketname: evil")},
	{name: "request id taken", headers: with("good", "X-Request-Id: 5f0c3a52-0d1c"), id: "5f0c3a52-0d1c", key: "good", owner: "marketing"},
	{name: "request id taken, denied", headers: []string{"X-Request-Id: 5f0c3a52-0d1c"}, id: "5f0c3a52-0d1c", want: decision.KeyMissing},
	{name: "request id of two lines", headers: with("good", "X-Request-Id: a", "X-Request-Id: b"), key: "good", owner: "marketing"},
	{name: "request id with a space", headers: with("good", "X-Request-Id: a b"), key: "good", owner: "marketing"},
	{name: "request id of markup", headers: []string{"X-Request-Id: <script>"}, want: decision.KeyMissing},
	{name: "request id that is too long", headers: with("good", "X-Request-Id: "+strings.Repeat("a", 129)), key: "good", owner: "marketing"},
	{name: "request id that is a key", headers: with("good", "X-Request-Id: {good}"), key: "good", owner: "marketing"},
	{name: "request id with underscores", headers: with("good", "X_Request_Id: other", "X-Request-Id: mine"), id: "mine", key: "good", owner: "marketing"},
	{name: "spoofed project is not trusted", headers: with("good", "X-Keyward-Project: marketing"), request: "- - /elsewhere", want: decision.ProjectUnknown},
}
