package forwardauth

import (
	"net/http"
	"net/netip"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

// dialect says where one proxy puts what it knows of the request in question. Nothing else is
// read, because nothing else is the proxy's word: a header that it does not set is passed on
// as the client wrote it.
type proxyProfile struct {
	path        string // of the door
	integration string // in metrics and records

	// The headers of method, host and target. No host header is the question's own Host.
	method, host, uri string
	// address is the header with the client's address, and list tells that proxies add to it.
	// No address header is the list that the validator was told to read.
	address string
	list    bool
	// projectInPath is for proxies that put the client's query behind the path unless they
	// are told not to: there a parameter could be anybody's.
	projectInPath bool
	// narrow is for a proxy that understands 2xx, 401 and 403 only.
	narrow bool
	// cannotRemove is for a proxy that cannot remove headers by prefix: what a client sends under
	// a name that is Keyward's, and the configuration does not set, would reach the upstream.
	cannotRemove bool
	// preflights is for a proxy that cannot restore a status, and sends preflights here instead
	// of asking about them.
	preflights bool
}

var proxyProfiles = []proxyProfile{
	{path: "/authz", integration: "forwardauth", method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri", list: true},
	{path: "/authz/nginx", integration: "forwardauth_nginx", method: "X-Original-Method", host: "X-Original-Host", uri: "X-Original-Uri", address: "X-Real-Ip", narrow: true, cannotRemove: true},
	{path: "/authz/traefik", integration: "forwardauth_traefik", method: "X-Forwarded-Method", host: "X-Forwarded-Host", uri: "X-Forwarded-Uri", address: clientaddr.HeaderXForwardedFor, list: true, preflights: true},
	// Caddy passes the client's Host on, to the content server too. X-Forwarded-Host it takes from proxies that it trusts.
	{path: "/authz/caddy", integration: "forwardauth_caddy", method: "X-Forwarded-Method", uri: "X-Forwarded-Uri", address: clientaddr.HeaderXForwardedFor, list: true, projectInPath: true},
	// HAProxy has no way of its own; these are the headers of config/gateways/haproxy/keyward.lua.
	{path: "/authz/haproxy", integration: "forwardauth_haproxy", method: "X-Haproxy-Method", host: "X-Haproxy-Host", uri: "X-Haproxy-Uri", address: "X-Haproxy-Src"},
}

// original is the request in question.
type original struct {
	method, host, uri string
	client            netip.Addr
}

// read finds the request in question, or the header that the proxy did not send as it must.
func (h *handler) read(q *httpapi.FastRequest) (o original, wrong string) {
	take := func(name string) string {
		if lines := q.Header[name]; len(lines) == 1 && lines[0] != "" {
			return lines[0]
		}
		wrong = name
		return ""
	}
	o.method, o.uri, o.host = take(h.method), take(h.uri), q.Host // of which there is exactly one
	if h.host != "" {
		o.host = take(h.host)
	}
	if h.address != "" && !h.list && len(q.Header[h.address]) > 1 {
		wrong = h.address
	}
	o.client = h.client(q.Peer, q.Header)
	return o, wrong
}

// client is where the request in question comes from, by the word of a trusted proxy. The
// proxy's own address is nobody's: to count failures by it would hold all its clients to
// account for each of them.
func (h *handler) client(peer netip.Addr, header http.Header) netip.Addr {
	if h.address != "" && !h.list {
		return h.clients.FromTrustedProxyLine(peer, header[h.address])
	}
	return h.addresses.FromTrustedProxy(peer, header)
}

// addresses reads the list that the dialect's proxies keep, or that the validator was told to.
func (d *proxyProfile) addresses(clients *clientaddr.Resolver) *clientaddr.Resolver {
	if d.address == "" {
		return clients
	}
	return clients.Reading(d.address)
}
