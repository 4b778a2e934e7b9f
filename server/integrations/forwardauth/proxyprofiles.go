package forwardauth

import (
	"net/http"
	"net/netip"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

// proxyProfile is how one kind of proxy describes the original request. Nothing else is read, because only these
// headers are set by the proxy: it passes other headers on as the client wrote them.
type proxyProfile struct {
	path        string // where the proxy sends its requests
	integration string // in metrics and records

	// The headers with method, host and target. Without a host header, it is the request's own Host.
	method, host, uri string
	// address is the header with the client's address, and list means that proxies add to it. Without an address header,
	// it is the list that the validator is configured to read.
	address string
	list    bool
	// projectInPath is for proxies that append the client's query to the path unless configured otherwise: a parameter
	// could be the client's.
	projectInPath bool
	// narrow is for a proxy that understands 2xx, 401 and 403 only.
	narrow bool
	// cannotRemove is for a proxy that cannot remove headers by prefix: a header that a client sends under one of
	// Keyward's names, and that the configuration does not set, would reach the upstream.
	cannotRemove bool
	// keepsKey is for a proxy that cannot replace the target of a request.
	keepsKey bool
	// preflights is for a proxy that cannot restore a status, and sends preflights here instead of asking about them.
	preflights bool
}

var proxyProfiles = []proxyProfile{
	{path: "/authz", integration: "forwardauth", method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri",
		list: true},
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
}

// original is the request that the proxy asks about.
type original struct {
	method, host, uri string
	client            netip.Addr
}

// read finds the original request, or returns the header that the proxy did not send as it must.
func (h *handler) read(q *httpapi.FastRequest) (o original, wrong string) {
	take := func(name string) string {
		if lines := q.Header[name]; len(lines) == 1 && lines[0] != "" {
			return lines[0]
		}
		wrong = name
		return ""
	}
	o.method, o.uri, o.host = take(h.method), take(h.uri), q.Host // which occurs exactly once
	if h.host != "" {
		o.host = take(h.host)
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
	if h.address != "" && !h.list {
		return h.clients.FromTrustedProxyLine(peer, header[h.address])
	}
	return h.addresses.FromTrustedProxy(peer, header)
}

// addresses returns the resolver that reads the list of the profile's proxies, or the list that the validator is
// configured to read.
func (d *proxyProfile) addresses(clients *clientaddr.Resolver) *clientaddr.Resolver {
	if d.address == "" {
		return clients
	}
	return clients.Reading(d.address)
}
