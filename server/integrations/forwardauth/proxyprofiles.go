package forwardauth

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/clientaddr"
)

// proxyProfile is how one kind of proxy describes the original request. Nothing else is read, because only these
// headers are set by the proxy: it passes other headers on as the client wrote them.
type proxyProfile struct {
	path        string // where the proxy sends its requests
	integration string // in metrics and records

	// The headers with method, host and target. Without a host header, it is the request's own Host.
	method, host, uri string
	// url is the header with host and target, in place of these two.
	url string
	// prefixed is for a proxy whose own request has the original method, and the original target behind the path.
	prefixed bool
	// address is the header with the client's address, and list means that proxies add to it. Without an address header,
	// it is the list that the validator is configured to read, or unknown if the proxy passes any list on as the client
	// wrote it.
	address string
	list    bool
	unknown bool
	// projectInPath is for proxies that append the client's query to the path unless configured otherwise: a parameter
	// could be the client's.
	projectInPath bool
	// projectFirst is for proxies that append the client's path: a project that follows the path could be the client's.
	projectFirst bool
	// narrow is for a proxy that understands 2xx, 401 and 403 only.
	narrow bool
	// cannotRemove is for a proxy that cannot remove headers by prefix: a header that a client sends under one of
	// Keyward's names, and that the configuration does not set, would reach the upstream.
	cannotRemove bool
	// keepsKey is for a proxy that cannot replace the target of a request, or is not known to do it.
	keepsKey bool
	// preflights is for a proxy that cannot restore a status, and sends preflights here instead of asking about them.
	preflights bool
}

var proxyProfiles = []proxyProfile{
	{path: "/authz", integration: "forwardauth", method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri",
		list: true, keepsKey: true},
	{path: "/authz/nginx", integration: "forwardauth_nginx", method: "X-Original-Method", host: "X-Original-Host",
		uri: "X-Original-Uri", address: "X-Real-Ip", narrow: true, cannotRemove: true},
	{path: "/authz/traefik", integration: "forwardauth_traefik", method: "X-Forwarded-Method", host: "X-Forwarded-Host",
		uri: "X-Forwarded-Uri", address: clientaddr.HeaderXForwardedFor, list: true, preflights: true, keepsKey: true},
	// Caddy passes the client's Host on, also to the content server. It accepts X-Forwarded-Host from proxies that it trusts.
	{path: "/authz/caddy", integration: "forwardauth_caddy", method: "X-Forwarded-Method", uri: "X-Forwarded-Uri",
		address: clientaddr.HeaderXForwardedFor, list: true, projectInPath: true},
	// HAProxy has no such feature; these are the headers of config/gateways/haproxy/keyward.lua.
	{path: "/authz/haproxy", integration: "forwardauth_haproxy", method: "X-Haproxy-Method", host: "X-Haproxy-Host",
		uri: "X-Haproxy-Uri", address: "X-Haproxy-Src"},
	// The headers that ingress-nginx's template sets for auth-url.
	{path: "/authz/ingress-nginx", integration: "forwardauth_ingress_nginx", method: "X-Original-Method", url: "X-Original-Url",
		address: "X-Real-Ip", narrow: true, cannotRemove: true, keepsKey: true},
	// NGINX Gateway Fabric sets these for the filter ExternalAuth. It passes X-Forwarded-For on as the client wrote it.
	{path: "/authz/gateway-api", integration: "forwardauth_gateway_api", method: "Method", uri: "Path", unknown: true,
		projectFirst: true, narrow: true, cannotRemove: true, keepsKey: true},
	// Envoy appends the address that it has seen before it asks.
	{path: "/authz/envoy-http", integration: "forwardauth_envoy_http", prefixed: true, address: clientaddr.HeaderXForwardedFor,
		list: true, projectFirst: true, keepsKey: true},
}

// headers are the names of all headers that the profile reads.
func (d *proxyProfile) headers() []string {
	return slices.DeleteFunc([]string{d.method, d.host, d.uri, d.url, d.address}, func(name string) bool { return name == "" })
}

// original is the request that the proxy asks about.
type original struct {
	method, host, uri string
	client            netip.Addr
}

// read finds the original request, or returns the header that the proxy did not send as it must.
func (h *handler) read(e *requestContext) (o original, wrong string) {
	q := &e.FastRequest
	if h.prefixed {
		return original{method: e.method, host: q.Host, uri: e.target, client: h.client(q.Peer, q.Header)}, ""
	}
	take := func(name string) string {
		if lines := q.Header[name]; len(lines) == 1 && lines[0] != "" {
			return lines[0]
		}
		wrong = name
		return ""
	}
	o.method, o.host = take(h.method), q.Host // which occurs exactly once
	if h.host != "" {
		o.host = take(h.host)
	}
	if h.url == "" {
		o.uri = take(h.uri)
	} else if o.host, o.uri = splitURL(take(h.url)); o.uri == "" {
		wrong = h.url
	}
	if h.address != "" && !h.list && len(q.Header[h.address]) > 1 {
		wrong = h.address
	}
	o.client = h.client(q.Peer, q.Header)
	return o, wrong
}

// client returns where the original request comes from, as a trusted proxy reports it. The proxy's own address is never
// used: if failures were counted by it, one client's failures would affect all clients of the proxy.
func (h *handler) client(peer netip.Addr, header http.Header) netip.Addr {
	if h.unknown {
		return netip.Addr{}
	}
	if h.address != "" && !h.list {
		return h.clients.FromTrustedProxyLine(peer, header[h.address])
	}
	return h.addresses.FromTrustedProxy(peer, header)
}

// splitURL takes $scheme://$http_host$request_uri apart, which nginx has put together without looking into it. It knows
// that a Host with a slash is refused by nginx, and that any other text may be a Host. So the host ends at the slash with
// which the target begins, and at no other character, and the decision refuses what is no host. Other parsers would end a
// host at '?' or '#', and take the rest for a query or a fragment. Without that slash there is no target.
func splitURL(text string) (host, target string) {
	scheme, rest, _ := strings.Cut(text, "://")
	slash := strings.IndexByte(rest, '/')
	if scheme != "http" && scheme != "https" || slash < 1 {
		return "", ""
	}
	return rest[:slash], rest[slash:]
}

// addresses returns the resolver that reads the list of the profile's proxies, or the list that the validator is
// configured to read.
func (d *proxyProfile) addresses(clients *clientaddr.Resolver) *clientaddr.Resolver {
	if d.address == "" {
		return clients
	}
	return clients.Reading(d.address)
}
