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
	address           string
	bare              bool // the address has no port
	list              bool // the address is added to the existing list
	projectInPath     bool
	narrow            bool // the proxy understands 2xx, 401 and 403, and no bodies
	cannotRemove      bool // spoofed context is refused
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
}

// setHeaders returns the headers that the proxy sets.
func (d *proxyProfile) setHeaders(e testRequest) []string {
	lines := []string{d.method + ": " + e.method, d.uri + ": " + e.target}
	if d.host != "" {
		lines = append(lines, d.host+": "+e.host)
	}
	if e.client != "" {
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
	set := []string{d.method, d.host, d.uri, d.address}
	var lines []string
	for _, other := range proxyProfiles {
		for _, line := range []string{other.method + ": DELETE", other.host + ": evil.example", other.uri + ": /elsewhere",
			other.address + ": " + failingIPv4} {
			if name, _, _ := strings.Cut(line, ":"); name != "" && !slices.Contains(set, name) && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return append(lines, "Forwarded: for="+failingIPv4+";host=evil.example", "X-Original-Url: /elsewhere",
		"X-Rewrite-Url: /elsewhere", "X-Http-Method-Override: DELETE", "X-Replaced-Path: /elsewhere")
}

func (d *proxyProfile) target(project string) string {
	switch {
	case project == "":
		return d.path
	case d.projectInPath:
		return d.path + "/projects/" + url.PathEscape(project)
	default:
		return d.path + "?project=" + url.QueryEscape(project)
	}
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
	host, lines := "keyward:8081", slices.Clone(e.lines)
	if d.host == "" {
		host = e.host
	}
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
	r := send(t, front, "GET", host, d.target(e.project), lines)
	if warm := sendWarm(t, front, host, d.target(e.project), lines); !same(r, warm, strings.Join(lines, "\n")) {
		t.Errorf("%s %q: the response is %v,\nand %v on a connection that was open", d.target(e.project), lines, r, warm)
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
		return outcome{allowed: true, status: http.StatusOK, code: "allowed", setsHeaders: true, headers: r.header,
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
