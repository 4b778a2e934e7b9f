package conformance

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// proxyProfile is how one proxy uses the integration forwardauth.
type proxyProfile struct {
	path string
	// The headers that the proxy sets. Without host it keeps the client's.
	method, host, uri string
	url               string // has host and target
	address           string // "" if the proxy reports none
	bare              bool   // the address has no port
	list              bool   // the address is added to the existing list
	projectInPath     bool
	projectFirst      bool // the project is in the path, in front of the proxy's name
	narrow            bool // the proxy understands 2xx, 401 and 403, and no bodies
	cannotRemove      bool // spoofed context is refused
	prefixed          bool // the original method, and the original target behind the path
}

var proxyProfiles = map[string]proxyProfile{
	"plain": {path: "/authz", method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri",
		address: "X-Forwarded-For", list: true},
	"nginx": {path: "/authz/nginx", method: "X-Original-Method", host: "X-Original-Host", uri: "X-Original-URI",
		address: "X-Real-IP", bare: true, narrow: true, cannotRemove: true},
	"traefik": {path: "/authz/traefik", method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri",
		address: "X-Forwarded-For", bare: true},
	"caddy": {path: "/authz/caddy", method: "X-Forwarded-Method", uri: "X-Forwarded-Uri", address: "X-Forwarded-For",
		bare: true, projectInPath: true},
	"haproxy": {path: "/authz/haproxy", method: "X-HAProxy-Method", host: "X-HAProxy-Host", uri: "X-HAProxy-Uri",
		address: "X-HAProxy-Src", bare: true},
	"ingress-nginx": {path: "/authz/ingress-nginx", method: "X-Original-Method", url: "X-Original-URL", address: "X-Real-IP",
		bare: true, narrow: true, cannotRemove: true},
	"gateway-api": {path: "/authz/gateway-api", method: "Method", uri: "Path", projectFirst: true, narrow: true, cannotRemove: true},
	"envoy-http":  {path: "/authz/envoy-http", address: "X-Forwarded-For", list: true, projectFirst: true, prefixed: true},
}

// knowsClient reports whether an integration learns the address of the client.
func knowsClient(name string) bool { return !strings.HasPrefix(name, "forwardauth, gateway-api") }

// setHeaders returns the headers that the proxy sets.
func (d *proxyProfile) setHeaders(e testRequest) []string {
	var lines []string
	for name, value := range map[string]string{d.method: e.method, d.uri: e.target, d.host: e.host, d.url: "https://" + e.host + e.target} {
		if name != "" {
			lines = append(lines, name+": "+value)
		}
	}
	if e.client != "" && d.address != "" {
		client := e.client
		if d.bare {
			client, _, _ = strings.Cut(client, ":4711")
		}
		lines = append(lines, d.address+": "+client)
	}
	return lines
}

// spoofedHeaders are those of a client that knows all proxy profiles, and sends every header that the proxy does not
// set itself.
func (d *proxyProfile) spoofedHeaders() []string {
	set := []string{d.method, d.host, d.uri, d.url, d.address}
	var lines []string
	for _, other := range proxyProfiles {
		for _, line := range []string{other.method + ": DELETE", other.host + ": evil.example", other.uri + ": /elsewhere",
			other.url + ": https://evil.example/elsewhere", other.address + ": " + failingIPv4} {
			if name, _, _ := strings.Cut(line, ":"); name != "" && !slices.Contains(set, name) && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return append(lines, "Forwarded: for="+failingIPv4+";host=evil.example", "X-Auth-Request-Redirect: /elsewhere",
		"X-Sent-From: nginx-ingress-controller", "X-Envoy-Original-Path: /elsewhere", "X-Rewrite-Url: /elsewhere", "X-Http-Method-Override: DELETE", "X-Replaced-Path: /elsewhere")
}

func (d *proxyProfile) target(project string) string {
	switch {
	case project == "":
		return d.path
	case d.projectFirst:
		return "/authz/projects/" + url.PathEscape(project) + strings.TrimPrefix(d.path, "/authz")
	case d.projectInPath:
		return d.path + "/projects/" + url.PathEscape(project)
	default:
		return d.path + "?project=" + url.QueryEscape(project)
	}
}

// asked is the proxy's own request.
func (d *proxyProfile) asked(e testRequest) (method, host, target string) {
	method, host, target = "GET", "keyward:8081", d.target(e.project)
	if d.host == "" && d.url == "" {
		host = e.host
	}
	if d.prefixed {
		method, target = e.method, target+e.target
	}
	return method, host, target
}

// addProxyProfiles adds the integration in every proxy profile, and once more for clients that try them all.
func addProxyProfiles(opened map[string]integration, front net.Addr) {
	for name, d := range proxyProfiles {
		opened["forwardauth, "+name] = func(t *testing.T, e testRequest) outcome { return d.ask(t, front, e, nil) }
		opened["forwardauth, "+name+", and all others"] = func(t *testing.T,
			e testRequest) outcome {
			return d.ask(t, front, e, d.spoofedHeaders())
		}
	}
	opened["forwardauth, traefik's preflights"] = func(t *testing.T, e testRequest) outcome { return askPreflight(t, front, e) }
}

// askPreflight sends preflights where Traefik is configured to, and asks about all other requests.
func askPreflight(t *testing.T, front net.Addr, e testRequest) outcome {
	t.Helper()
	traefik := proxyProfiles["traefik"]
	asksMethod := func(line string) bool { return strings.HasPrefix(line, "Access-Control-Request-Method: ") }
	if e.method != "OPTIONS" || !slices.ContainsFunc(e.lines, asksMethod) {
		return traefik.ask(t, front, e, nil)
	}
	path, query, hasQuery := strings.Cut(e.target, "?")
	target := traefik.path + "/preflights"
	if e.project != "" {
		target += "/projects/" + url.PathEscape(e.project)
	}
	if hasQuery {
		target += "?" + query
	}
	lines := append(slices.Clone(e.lines), "X-Replaced-Path: "+path)
	if e.client != "" {
		lines = append(lines, "X-Forwarded-For: "+e.client)
	}
	r := send(t, front, e.method, e.host, target, lines)
	if code := "preflight_expected"; r.status == http.StatusBadRequest && strings.Contains(string(r.body), code) {
		return traefik.ask(t, front, e, nil) // two methods are not a preflight
	}
	return denial(t, r)
}

func (d *proxyProfile) ask(t *testing.T, front net.Addr, e testRequest, more []string) outcome {
	t.Helper()
	method, host, target := d.asked(e)
	lines := slices.Clone(e.lines)
	if !d.list { // the proxy replaces it
		lines = slices.DeleteFunc(lines, func(line string) bool {
			name, _, _ := strings.Cut(line, ":")
			return strings.EqualFold(name, d.address)
		})
	}
	if d.cannotRemove { // the tests of the integration send it
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return strings.HasPrefix(foldedName(line), "x-keyward-")
		})
	}
	lines = append(lines, more...)
	lines = append(lines, d.setHeaders(e)...)
	r := send(t, front, method, host, target, lines)
	if warm := sendOpen(t, front, method, host, target, lines); !same(r, warm, strings.Join(lines, "\n")) {
		t.Errorf("%s %s %q: the response is %v,\nand %v on a connection that was open", method, target, lines, r, warm)
	}
	if r.status == http.StatusOK {
		target := e.target
		if changed := r.header.Get("X-Keyward-Uri"); changed != "" {
			target = changed
			if _, query, _ := strings.Cut(changed, "?"); query != r.header.Get("X-Keyward-Query") {
				t.Errorf("the query is %q", r.header)
			}
		}
		selects := r.header.Get("X-Keyward-Websocket-Protocol")
		for _, name := range []string{"X-Keyward-Uri", "X-Keyward-Query", "X-Keyward-Referer", "X-Keyward-Websocket-Protocol"} {
			r.header.Del(name)
		}
		e.compareSecrets(t, fmt.Sprint(target, r.header))
		return outcome{allowed: true, status: http.StatusOK, code: "allowed", codeless: true, setsHeaders: true, headers: r.header,
			injected: linesOf(r.header, isContext), requestID: r.header.Get("X-Request-Id"), target: target,
			passed: append([]string{""}, linesOf(r.header, isPassed)...), selects: selects}
	}
	a := denial(t, r)
	if !d.narrow {
		return a
	}
	status, err := strconv.Atoi(r.header.Get("X-Keyward-Status"))
	if r.status != http.StatusUnauthorized && r.status != http.StatusForbidden &&
		(r.status != http.StatusServiceUnavailable || status != r.status) {
		t.Errorf("%d is not understood", r.status)
	}
	if err != nil || r.header.Get("X-Keyward-Code") != a.code || r.header.Get("X-Keyward-Problem") != strings.TrimSpace(string(r.body)) {
		t.Errorf("to restore: %q", r.header)
	}
	a.status = status
	return a
}
