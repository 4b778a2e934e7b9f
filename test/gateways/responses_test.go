package gateways

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// readable checks that a page may read the headers that the content server exposes, those that Keyward exposes, and those
// that reading a range needs; also if the content server supports CORS itself.
func readable(t *testing.T, c *client) string {
	for _, target := range []string{"/media/1", "/media/cors"} {
		got := c.roundTrip(t, c.address, testCase{target: target + "?say-access-control-expose-headers=X-Total-Count,X-Other",
			headers: []string{"Authorization: Bearer {key}", "Origin: " + page}})
		var names []string
		for _, line := range got.header.Values("Access-Control-Expose-Headers") {
			for name := range strings.SplitSeq(line, ",") {
				names = append(names, strings.ToLower(strings.TrimSpace(name)))
			}
		}
		for _, name := range []string{"x-total-count", "x-other", "x-request-id", "ratelimit", "ratelimit-policy",
			"content-range", "accept-ranges", "etag", "content-disposition"} {
			if !slices.Contains(names, name) && !slices.Contains(names, "*") {
				return "not " + name
			}
		}
	}
	got := c.roundTrip(t, c.address, testCase{headers: []string{"Authorization: Bearer {key}"}})
	if lines := got.header.Values("Access-Control-Expose-Headers"); len(lines) > 0 && c.gateway.name != traefik.name {
		t.Errorf("to nobody's page: %q", lines)
	}
	return "both lists"
}

// unwanted headers make some content servers use another method, path or host, or another client.
var unwanted = []string{
	"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method", "X-Forwarded-Method", "X-Original-URL",
	"X-Original-URI", "X-Original-Path", "X-Original-Host", "X-Rewrite-URL",
	"X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Script-Name", "X-Script-Name", "X-Replaced-Path",
	"X-Envoy-Original-Path", "X-Request-Uri", "X-Proxy-Url",
	"X-Host", "X-HTTP-Host-Override", "X-Forwarded-Server", "X-Accel-Mapping", "X-Sendfile-Type",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Ssl", "X-Forwarded-Scheme",
	"Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Client-IP",
	"X-Cluster-Client-IP", "Fastly-Client-IP", "X-Remote-Addr", "X-Originating-IP", "Front-End-Https", "WL-Proxy-Client-IP", "X-Forwarded",
}

// unwantedOf returns those that a gateway removes whose configuration agrees with package httpapi.
func unwantedOf(g *gateway) []string {
	names := slices.Clone(unwanted)
	for _, name := range httpapi.UnusualNames() {
		if !strings.HasSuffix(name, "-") {
			names = append(names, name)
		} else if !g.refusesSpoofs && name != "x-forwarded-" { // Traefik and Caddy write some of these
			names = append(names, name+"anything")
		}
	}
	return names
}

// overridden sends them in the spellings of content servers that fold other characters than letters and digits, and with
// them headers that only Keyward may set.
func overridden(t *testing.T, c *client) string {
	var names []string
	for _, name := range append(unwantedOf(c.gateway), "X-Request-Id", "X-Api-Key", "X-Keyward-Group",
		"X-Keyward-Context-Bucketname", "X-Keyward-Context-Database", "X-Keyward-Principal", "X-Keyward-Anything") {
		if httpapi.MayBeRemoved(name) && !httpapi.IsReserved(name) && name != "X-Request-Id" && name != "X-Api-Key" {
			names = append(names, name)
		}
		for _, other := range "!#$%&'*+.^_`|~" {
			if strings.Contains(name, "-") {
				names = append(names, strings.ToLower(strings.ReplaceAll(name, "-", string(other))),
					strings.Replace(name, "-", string(other), 1))
			}
		}
	}
	const some = 40 // at once: servers bound the number of headers
	for part := range slices.Chunk(names, some) {
		headers := []string{"Authorization: Bearer {key}"}
		for _, name := range part {
			headers = append(headers, name+": "+evilValue(name))
		}
		got := c.roundTrip(t, c.address, testCase{headers: headers})
		if got.seen == nil {
			return summary(got)
		}
		for name, lines := range got.seen {
			if text := strings.Join(lines, "|"); strings.Contains(text, "evil") || strings.Contains(text, evilAddress) {
				t.Errorf("the content server sees %s: %s", name, text)
			}
		}
	}
	return "removed"
}

const evilAddress = "203.0.113.66"

func evilValue(name string) string {
	if strings.HasSuffix(strings.ToLower(name), "for") || strings.HasSuffix(strings.ToLower(name), "ip") {
		return evilAddress
	}
	return "evil"
}

// caching compares what caches read about content that any of them might keep.
func (c *client) caching(t *testing.T, key string) string {
	t.Helper()
	const said = "/media/1?say-cache-control=public,%20max-age%3D60,%20s-maxage%3D600&say-vary=accept"
	target := said
	for _, name := range httpapi.SharedCacheHeaders() {
		target += "&say-" + strings.ToLower(name) + "=max-age%3D600"
	}
	got := c.roundTrip(t, c.address, testCase{target: target, headers: []string{"X-Api-Key: " + key}})
	for _, name := range httpapi.SharedCacheHeaders() {
		if key == "{key}" && got.header.Get(name) != "" {
			t.Errorf("shared caches read %s: %s", name, got.header.Get(name))
		}
	}
	var directives []string
	for _, line := range got.header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			if directive = strings.TrimSpace(directive); directive != "" {
				directives = append(directives, directive)
			}
		}
	}
	text := "`" + strings.Join(directives, ", ") + "`"
	if key == "{key}" && (strings.Contains(text, "public") || strings.Contains(text, "s-maxage") ||
		!strings.Contains(text, "private") && !strings.Contains(text, "no-store")) {
		t.Errorf("shared caches read %v", got.header)
	}
	lines := got.header.Values("Vary")
	for _, name := range []string{"authorization", "x-api-key", "origin", "referer", "accept"} {
		if len(lines) != 1 || !strings.Contains(strings.ToLower(lines[0]), name) {
			t.Errorf("Vary: %q, without %s, or not on one line", lines, name)
		}
	}
	return text
}
