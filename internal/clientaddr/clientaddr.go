// Package clientaddr finds the address that a request came from, without trusting the client: by the connection, and
// behind trusted proxies by the list to which each of them has added the address that it saw.
package clientaddr

import (
	"net/http"
	"net/netip"
	"strings"
)

// The headers in which proxies list addresses, in http.CanonicalHeaderKey form. A proxy updates one of them and passes
// the other on as the client wrote it, so only the configured one is read.
const (
	HeaderXForwardedFor = "X-Forwarded-For"
	HeaderForwarded     = "Forwarded" // RFC 7239
)

// Resolver finds the addresses of clients. A nil Resolver trusts no proxy.
//
// It returns the zero netip.Addr if the address is not known: if nobody who is trusted names one, or only trusted
// proxies are named. It never returns the address of a trusted proxy as a client's, because many clients share it.
type Resolver struct {
	trusted []netip.Prefix
	header  string
}

// New returns a resolver that trusts proxies at these addresses, and the list in the header of that name, which is one
// of the two above.
func New(trusted []netip.Prefix, header string) *Resolver {
	return &Resolver{trusted: trusted, header: header}
}

// Reading returns a resolver that trusts the same proxies, and reads the list in the header of that name, for proxies
// that are known to update that one.
func (r *Resolver) Reading(header string) *Resolver {
	if r == nil {
		return nil
	}
	return &Resolver{trusted: r.trusted, header: header}
}

// FromConnection is for servers that clients reach directly or through proxies. The peer has opened the connection.
func (r *Resolver) FromConnection(peer netip.Addr, header http.Header) netip.Addr {
	if peer = canonical(peer); !r.trusts(peer) {
		return peer
	}
	return r.lastUntrusted(header[r.header])
}

// FromTrustedProxy is for servers to which only proxies send requests, about requests of others: what an untrusted peer
// reports is ignored, and its own address is not the client's.
func (r *Resolver) FromTrustedProxy(peer netip.Addr, header http.Header) netip.Addr {
	if !r.trusts(canonical(peer)) {
		return netip.Addr{}
	}
	return r.lastUntrusted(header[r.header])
}

// FromTrustedProxyLine is FromTrustedProxy for proxies that name one address in a header of its own.
func (r *Resolver) FromTrustedProxyLine(peer netip.Addr, lines []string) netip.Addr {
	if len(lines) != 1 || !r.trusts(canonical(peer)) {
		return netip.Addr{}
	}
	if client := Read(lines[0]); !r.trusts(client) {
		return client
	}
	return netip.Addr{}
}

// Read reads an address in the forms that proxies write, from a source that is trusted.
func Read(text string) netip.Addr {
	address, _ := parse(strings.Trim(text, " \t"))
	return address
}

// Peer reads the address of a connection in net/http's form.
func Peer(remoteAddr string) netip.Addr {
	peer, err := netip.ParseAddrPort(remoteAddr)
	if err != nil { // not a network connection
		return netip.Addr{}
	}
	return canonical(peer.Addr())
}

// Trusts reports whether the peer is a trusted proxy.
func (r *Resolver) Trusts(peer netip.Addr) bool { return r.trusts(canonical(peer)) }

// Header returns the name of the header in which trusted proxies list addresses.
func (r *Resolver) Header() string {
	if r == nil {
		return HeaderXForwardedFor
	}
	return r.header
}

func (r *Resolver) trusts(address netip.Addr) bool {
	if r == nil || !address.IsValid() {
		return false
	}
	for _, prefix := range r.trusted {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// lastUntrusted walks from the end of the list, which the nearest proxy wrote, to the first address that is not a
// trusted proxy's. The rest of the list came from outside. An entry that is invalid ends the walk.
func (r *Resolver) lastUntrusted(lines []string) netip.Addr {
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var element string
			rest, element, more = r.cutLast(rest)
			address, ok := r.read(element)
			if !ok {
				return netip.Addr{}
			}
			if !r.trusts(address) {
				return address
			}
		}
	}
	return netip.Addr{}
}

func (r *Resolver) cutLast(list string) (rest, element string, more bool) {
	comma := strings.LastIndexByte(list, ',')
	if r.header == HeaderForwarded {
		comma = lastOutsideQuotes(list, ',')
	}
	if comma < 0 {
		return "", list, false
	}
	return list[:comma], list[comma+1:], true
}

func (r *Resolver) read(element string) (netip.Addr, bool) {
	element = strings.Trim(element, " \t")
	if r.header == HeaderForwarded {
		var ok bool
		if element, ok = forwardedFor(element); !ok {
			return netip.Addr{}, false
		}
	}
	return parse(element)
}

// parse reads an address in the forms that proxies write: with or without port, IPv6 with or without brackets.
func parse(text string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		return canonical(address), true
	}
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return canonical(withPort.Addr()), true
	}
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(text[1 : len(text)-1])
	if err != nil || !address.Is6() {
		return netip.Addr{}, false
	}
	return canonical(address), true
}

// canonical returns the one form of an address.
func canonical(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }
