package gateways

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/decision"
)

// testCase is a request through a gateway, and its outcome. In headers {key} stands for a key of the project media,
// which allows pages of https://www.acme.example.
type testCase struct {
	name           string
	method, target string
	host           string // with hasHost; otherwise the usual one
	hasHost        bool
	headers        []string
	keepAlive      bool // after the response; without it or a header Connection the connection is closed

	status   int
	code     string            // of the problem; "" is a response of the content server
	response map[string]string // headers of the response; "" must not be there
	seen     map[string]string // headers that the content server sees
	mute     bool              // denied without a body
}

const (
	page         = "https://www.acme.example"
	exposed      = "X-Request-Id, RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, ETag, Content-Disposition"
	varies       = "Authorization, X-Api-Key, Origin"
	webSocketKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

var requestContexts = []testCase{
	{name: "allowed", headers: []string{"Authorization: Bearer {key}"}, status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/acme", "X-Keyward-Tier": "Pro", "X-Keyward-Project": "media",
			"X-Keyward-Key-Id": "id-acme", "X-Keyward-Context-Bucketname": "acme-media", "Authorization": "", "X-Api-Key": ""}},
	{name: "allowed, for a page", headers: []string{"Authorization: Bearer {key}", "Origin: " + page}, status: 200,
		response: map[string]string{"Access-Control-Allow-Origin": page, "Access-Control-Expose-Headers": exposed,
			"RateLimit": "", "RateLimit-Policy": "", "Vary": varies}, seen: map[string]string{"Origin": page,
			"X-Keyward-Project": "media"}},
	{name: "allowed, and the content server speaks CORS", target: "/media/cors",
		headers: []string{"Authorization: Bearer {key}", "Origin: " + page}, status: 200,
		response: map[string]string{"Access-Control-Allow-Origin": "https://theirs.example"}},
	{name: "allowed, for nobody's page", headers: []string{"Authorization: Bearer {key}"}, status: 200,
		response: map[string]string{"Access-Control-Allow-Origin": ""}},
	{name: "spoofed context", headers: []string{"X-Api-Key: {key}", "X-Keyward-Group: tenants/evil",
		"X-Keyward-Context-Bucketname: evil"}, status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/acme", "X-Keyward-Context-Bucketname": "acme-media", "X-Api-Key": ""}},
	{name: "spoofed context that the decision does not have", headers: []string{"X-Api-Key: {key}",
		"X-Keyward-Context-Anything: evil", "X-Keyward-Tier: evil"}, status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/acme", "X-Keyward-Context-Anything": "", "X-Keyward-Tier": "Pro"}},
	{name: "spoofed context, underscores", headers: []string{"X-Api-Key: {key}", "X_Keyward_Group: evil",
		"X-Keyward_Project: evil"}, status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/acme", "X_Keyward_Group": "", "X-Keyward_Project": ""}},
	{name: "spoofed request id and key, underscores", headers: []string{"X-Api-Key: {key}", "X-Request_Id: evil",
		"X_Request_Id: evil", "X_Api_Key: evil", "X-Api_Key: evil"}, status: 200,
		seen: map[string]string{"X-Request_id": "", "X_request_id": "", "X_api_key": "", "X-Api_key": ""}},
	{name: "context that is named in Connection", headers: []string{"Authorization: Bearer {key}",
		"Connection: close, X-Keyward-Group, X-Keyward-Context-Bucketname, X-Request-Id"}, status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/acme", "X-Keyward-Context-Bucketname": "acme-media", "Connection": ""}},
	{name: "context that is named in Connection, of a WebSocket", headers: []string{"Authorization: Bearer {key}",
		"Connection: Upgrade, X-Keyward-Group", "Upgrade: WebSocket", webSocketKey}, status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/acme"}},
	{name: "an origin that is named in Connection", headers: []string{"Authorization: Bearer {key}", "Connection: close, Origin",
		"Origin: https://evil.example"}, status: 403, code: "origin_denied"},
	{name: "a referrer that is named in Connection", headers: []string{"Authorization: Bearer {key}",
		"Connection: close, referer", "Referer: https://evil.example/"}, status: 403, code: "origin_denied"},
	{name: "an origin that is named in Connection, of a WebSocket", headers: []string{"Authorization: Bearer {key}",
		"Connection: Upgrade, Origin", "Upgrade: websocket", webSocketKey, "Origin: https://evil.example"}, status: 403,
		code: "origin_denied"},
	{name: "upgrade to h2c", headers: []string{"Authorization: Bearer {key}", "Connection: Upgrade, HTTP2-Settings",
		"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"}, status: 200, seen: upgradesNothing},
	{name: "upgrade to anything", headers: []string{"Authorization: Bearer {key}", "Connection: Upgrade", "Upgrade: foo"},
		status: 200, seen: upgradesNothing},
	{name: "upgrade to a WebSocket or h2c", headers: []string{"Authorization: Bearer {key}",
		"Connection: Upgrade, HTTP2-Settings", "Upgrade: websocket, h2c", webSocketKey,
		"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"}, status: 200, seen: upgradesNothing},
	{name: "upgrade to h2c or a WebSocket", headers: []string{"Authorization: Bearer {key}", "Connection: Upgrade",
		"Upgrade: h2c, websocket", webSocketKey}, status: 200, seen: upgradesNothing},
	{name: "upgrade to a WebSocket of a version", headers: []string{"Authorization: Bearer {key}", "Connection: Upgrade",
		"Upgrade: websocket/13", webSocketKey}, status: 200, seen: upgradesNothing},
	{name: "target with a host", target: "http://cdn.acme.example/media/1?a=b", headers: []string{"Authorization: Bearer {key}"},
		status: 200, seen: map[string]string{headerTarget: "/media/1?a=b", headerHost: "cdn.acme.example"}},
	{name: "target with a host, ambiguous", target: "http://cdn.acme.example/media/../x",
		headers: []string{"Authorization: Bearer {key}"}, status: 400, code: "path_ambiguous"},
	{name: "client's address", headers: []string{"Authorization: Bearer {key}"}, status: 200,
		seen: map[string]string{"X-Forwarded-For": usualClient}},
	{name: "request id", headers: []string{"Authorization: Bearer {key}", "X-Request-Id: mine"}, status: 200,
		response: map[string]string{"X-Request-Id": "mine"}, seen: map[string]string{"X-Request-Id": "mine"}},
	{name: "request id, denied", headers: []string{"X-Request-Id: mine"}, status: 401, code: "key_missing",
		response: map[string]string{"X-Request-Id": "mine"}},
	{name: "quota exceeded", headers: []string{"Authorization: Bearer {spent}", "Origin: " + page}, status: 402,
		code: "quota_exceeded", response: map[string]string{"Access-Control-Allow-Origin": page}},
	{name: "not too fast", headers: []string{"Authorization: Bearer {paced}"}, status: 200,
		response: map[string]string{"RateLimit-Policy": `"key";q=5;w=1`}, seen: map[string]string{"X-Keyward-Key-Id": "id-paced"}},
	{name: "too fast", headers: []string{"Authorization: Bearer {fast}", "Origin: " + page}, status: 429, code: "rate_limited",
		response: map[string]string{"Retry-After": "1", "RateLimit-Policy": `"key";q=2;w=1`, "RateLimit": `"key";r=0;t=1`,
			"Access-Control-Allow-Origin": page}},
	{name: "what the content server denies", target: "/media/teapot", headers: []string{"Authorization: Bearer {key}"},
		status: 403, seen: map[string]string{"X-Keyward-Project": "media"}},
	{name: "no key", status: 401, code: "key_missing", response: map[string]string{"WWW-Authenticate": `Bearer realm="keyward"`,
		"Access-Control-Allow-Origin": ""}},
	{name: "no key, and none is needed", host: "open.example", hasHost: true, target: "/robots.txt", status: 200,
		seen: map[string]string{"X-Keyward-Group": "tenants/open", "X-Keyward-Project": "site", "X-Keyward-Key-Id": "", "X-Keyward-Permissions": "",
			"X-Keyward-Tier": "", "X-Keyward-Context-Bucketname": ""}},
	{name: "no key, and none is needed elsewhere", host: "open.example", hasHost: true, target: "/robots.txt/x", status: 401, code: "key_missing"},
	{name: "no key, and a forged one", host: "open.example", hasHost: true, target: "/robots.txt", headers: []string{"X-Keyward-Key-Id: evil",
		"X-Keyward-Permissions: evil"}, status: 200, seen: map[string]string{"X-Keyward-Key-Id": "", "X-Keyward-Permissions": ""}},
	{name: "foreign origin", headers: []string{"Authorization: Bearer {key}", "Origin: https://evil.example"}, status: 403,
		code:     "origin_denied",
		response: map[string]string{"Access-Control-Allow-Origin": "", "Vary": varies}},
	{name: "no permission, for a page", method: "POST", headers: []string{"Authorization: Bearer {key}", "Origin: " + page},
		status: 403, code: "permission_denied",
		response: map[string]string{"Access-Control-Allow-Origin": page,
			"Access-Control-Expose-Headers": exposed + ", Retry-After, WWW-Authenticate", "RateLimit": "", "RateLimit-Policy": ""}},
	{name: "ambiguous path", target: "/media/../x", headers: []string{"Authorization: Bearer {key}"}, status: 400, code: "path_ambiguous"},
	{name: "path parameter", target: "/media/1;x", headers: []string{"Authorization: Bearer {key}"}, status: 400, code: "path_ambiguous"},
	{name: "percent sign", target: "/media/100%25.pdf", headers: []string{"Authorization: Bearer {key}"}, status: 200,
		seen: map[string]string{headerTarget: "/media/100%25.pdf"}},
	{name: "encoded slash", target: "/media/a%2fb", headers: []string{"Authorization: Bearer {key}"}, status: 400, code: "path_ambiguous"},
	{name: "spoofed original request", target: "/other", headers: []string{"Authorization: Bearer {key}",
		"X-Forwarded-Uri: /media/1", "X-Original-URI: /media/1", "X-HAProxy-Uri: /media/1", "X-Forwarded-Method: GET",
		"X-Original-Method: GET", "X-HAProxy-Method: GET"}, status: 403, code: "project_unknown"},
	{name: "spoofed original method", method: "POST", headers: []string{"Authorization: Bearer {key}", "X-Forwarded-Method: GET",
		"X-Original-Method: GET", "X-HAProxy-Method: GET"}, status: 403, code: "permission_denied"},
	{name: "spoofed original host", headers: []string{"Authorization: Bearer {key}", "X-Forwarded-Host: evil.example",
		"X-Original-Host: evil.example", "X-HAProxy-Host: evil.example"}, status: 200,
		seen: map[string]string{"X-Keyward-Project": "media"}},
	{name: "spoofed project", target: "/other?project=media", headers: []string{"Authorization: Bearer {key}"}, status: 403,
		code: "project_unknown"},
	{name: "a query", target: "/media/1?projct=x&project=other", headers: []string{"Authorization: Bearer {key}"}, status: 200,
		seen: map[string]string{"X-Keyward-Project": "media"}},
	{name: "preflight", method: "OPTIONS", headers: []string{"Origin: " + page, "Access-Control-Request-Method: GET",
		"Access-Control-Request-Headers: authorization"}, status: 204, mute: true,
		response: map[string]string{"Access-Control-Allow-Origin": page, "Access-Control-Allow-Methods": "GET, HEAD",
			"Access-Control-Max-Age": "600"}},
	{name: "foreign preflight", method: "OPTIONS", headers: []string{"Origin: https://evil.example",
		"Access-Control-Request-Method: GET"}, status: 403, code: "origin_denied",
		response: map[string]string{"Access-Control-Allow-Origin": ""}},
	{name: "too many failures", headers: []string{"Client: failing", "X-Forwarded-For: 198.51.100.7", "X-Real-IP: 198.51.100.7",
		"X-HAProxy-Src: 198.51.100.7"}, status: 429, code: "too_many_failures", response: map[string]string{"Retry-After": "60"}},
	{name: "a good key among failures", headers: []string{"Client: failing", "Authorization: Bearer {key}"}, status: 200,
		seen: map[string]string{"X-Keyward-Key-Id": "id-acme"}},
}

// upgradesNothing: content servers see no upgrades but WebSockets.
var upgradesNothing = map[string]string{"Upgrade": "", "Connection": "", "Http2-Settings": ""}

// gateway is a proxy with its shipped configuration.
type gateway struct {
	name  string
	start func(t testing.TB, w *world) (address string)

	// Its response if no validation server is available.
	unavailable     int
	unavailableCode string
	// What it cannot do: add the request id to responses of the content server, and keep their CORS headers.
	namesNothing, overrides bool
	// What it cannot do: let caches keep what a Group allows.
	keepsNothing bool
	// What it cannot do: remove headers by prefix. Keyward refuses requests with spoofed context.
	refusesSpoofs bool
}

var (
	nginx   = gateway{name: "nginx", start: startNginx, unavailable: 503, unavailableCode: "validator_away", refusesSpoofs: true}
	haproxy = gateway{name: "HAProxy", start: startHAProxy, unavailable: 503, unavailableCode: "validator_away"}
	caddy   = gateway{name: "Caddy", start: startCaddy, unavailable: 503, unavailableCode: "validator_away"}
	traefik = gateway{name: "Traefik", start: startTraefik, unavailable: 500, namesNothing: true, overrides: true, keepsNothing: true}

	gateways = []gateway{nginx, haproxy, caddy, traefik}

	// The integration that needs no gateway.
	own = gateway{name: "reverse proxy", start: startProxy}
)

func TestNginx(t *testing.T) { nginx.through(t) }

func TestHAProxy(t *testing.T) { haproxy.through(t) }

func TestCaddy(t *testing.T) { caddy.through(t) }

func TestTraefik(t *testing.T) { traefik.through(t) }

func TestReverseProxy(t *testing.T) { own.through(t) }

// TestNginxRestoresEveryStatus: clients would get 503 instead of a status that the configuration does not know.
func TestNginxRestoresEveryStatus(t *testing.T) {
	site := shipped(t, "nginx/keyward.conf")
	for _, code := range decision.Codes()[1:] {
		if line := fmt.Sprintf("if ($keyward_status = %[1]d) { return %[1]d", code.Status()); !strings.Contains(site, line) {
			t.Errorf("no %q, for %v", line, code)
		}
	}
}

func (g *gateway) through(t *testing.T) {
	t.Helper()
	w := newWorld(t)
	address := g.start(t, w)
	waitFor(t, address)
	for _, e := range requestContexts {
		t.Run(e.name, func(t *testing.T) { g.compare(t, e, w.roundTrip(t, address, e)) })
	}
}

// TestTrustedProject names the project in the configuration, as its comments say: what the client says about projects
// still changes nothing, and routes are not used.
func TestTrustedProject(t *testing.T) {
	for _, g := range gateways {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			w.project = "media"
			address := g.start(t, w)
			waitFor(t, address)
			for _, e := range []testCase{
				{name: "elsewhere", target: "/elsewhere", headers: []string{"Authorization: Bearer {key}"}, status: 200,
					seen: map[string]string{"X-Keyward-Project": "media"}},
				{name: "spoofed", target: "/elsewhere?project=other", headers: []string{"Authorization: Bearer {key}",
					"X-Keyward-Project: other"}, status: 200, seen: map[string]string{"X-Keyward-Project": "media"}},
				{name: "preflight", method: "OPTIONS", target: "/elsewhere?project=other",
					headers: []string{"Origin: " + page, "Access-Control-Request-Method: GET"}, status: 204, mute: true,
					response: map[string]string{"Access-Control-Allow-Origin": page}},
			} {
				t.Run(e.name, func(t *testing.T) { g.compare(t, e, w.roundTrip(t, address, e)) })
			}

			w.project = "nope"
			address = g.start(t, w)
			waitFor(t, address)
			e := testCase{headers: []string{"Authorization: Bearer {key}"}, status: 403, code: "project_unknown"}
			g.compare(t, e, w.roundTrip(t, address, e))
		})
	}
}

// TestValidatorUnavailable is about gateways that cannot ask: no request passes.
func TestValidatorUnavailable(t *testing.T) {
	for _, g := range gateways {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			w.keyward = freeAddress(t)
			address := g.start(t, w)
			waitFor(t, address)
			got := w.roundTrip(t, address, testCase{headers: []string{"Authorization: Bearer {key}"}})
			if got.status != g.unavailable || got.problem.Code != g.unavailableCode || got.seen != nil {
				t.Errorf("got %d %s; the content server sees %v", got.status, got.body, got.seen)
			}
		})
	}
}

// TestContentServerUnavailable: the response does not blame Keyward.
func TestContentServerUnavailable(t *testing.T) {
	for _, g := range gateways {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			w.content = freeAddress(t)
			address := g.start(t, w)
			waitFor(t, address)
			got := w.roundTrip(t, address, testCase{headers: []string{"Authorization: Bearer {key}"}})
			if got.status != http.StatusBadGateway && got.status != http.StatusServiceUnavailable || got.problem.Code != "" {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
}

func (g *gateway) compare(t *testing.T, e testCase, got outcome) {
	t.Helper()
	if g.refusesSpoofs && slices.ContainsFunc(e.headers, func(line string) bool { return strings.HasPrefix(line, "X-Keyward-") }) {
		e.status, e.code = 400, "header_reserved"
	}
	if got.status != e.status || got.problem.Code != e.code {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	if e.code != "" && (got.problem.Status != e.status || got.header.Get("Content-Type") != "application/problem+json") {
		t.Errorf("problem %s of type %s", got.body, got.header.Get("Content-Type"))
	}
	if (got.seen != nil) != (e.code == "" && !e.mute) || e.mute && len(got.body) > 0 {
		t.Fatalf("the content server sees %v, the client %q", got.seen, got.body)
	}
	named, response := true, maps.Clone(e.response)
	if got.seen != nil && g.namesNothing {
		named = false
		for _, name := range []string{"X-Request-Id", "RateLimit", "RateLimit-Policy"} {
			delete(response, name)
		}
	}
	if got.seen != nil && g.overrides && response["Access-Control-Allow-Origin"] != "" {
		response["Access-Control-Allow-Origin"] = page
		for name, want := range map[string]string{"Access-Control-Expose-Headers": "*", "Vary": varies + ", Referer, Sec-Fetch-Site, Accept-Encoding"} {
			if response[name] != "" {
				response[name] = want
			}
		}
	}
	for name, want := range response {
		if lines := strings.Join(got.header.Values(name), "|"); lines != want || want == "" && got.header.Values(name) != nil {
			t.Errorf("the client gets %s: %q, want %q", name, lines, want)
		}
	}
	if ids := got.header.Values("X-Request-Id"); len(ids) != 1 || ids[0] == "" || (ids[0] == "of-the-upstream") == named {
		t.Errorf("request ids %q", ids)
	}
	if got.seen == nil {
		return
	}
	for name, want := range e.seen {
		if lines := strings.Join(got.seen.Values(name), "|"); lines != want {
			t.Errorf("the content server sees %s: %q, want %q", name, lines, want)
		}
	}
}
