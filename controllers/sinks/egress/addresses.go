// Package egress connects to servers that a configuration names, and to no address within the cluster, the node or the cloud that is
// not allowed. The address is checked when it is connected to, after the name was resolved: a name that resolves to something else the
// second time gains nothing.
package egress

import (
	"fmt"
	"net/netip"
)

// kind is what an address is for.
type kind string

const (
	public    kind = ""
	loopback  kind = "a loopback address"
	linkLocal kind = "a link-local or metadata address"
	private   kind = "a private address"
	reserved  kind = "an address that no server has"
)

// special are the networks that are not public. The first one that contains an address counts.
var special = []struct {
	prefix netip.Prefix
	kind   kind
}{
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},
	{netip.MustParsePrefix("::1/128"), loopback},
	// Metadata servers of clouds that are not link-local.
	{netip.MustParsePrefix("168.63.129.16/32"), linkLocal},
	{netip.MustParsePrefix("100.100.100.200/32"), linkLocal},
	{netip.MustParsePrefix("192.0.0.192/32"), linkLocal},
	{netip.MustParsePrefix("fd00:ec2::/32"), linkLocal},
	{netip.MustParsePrefix("fd20:ce::/32"), linkLocal},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal},
	{netip.MustParsePrefix("fe80::/10"), linkLocal},
	{netip.MustParsePrefix("10.0.0.0/8"), private},
	{netip.MustParsePrefix("172.16.0.0/12"), private},
	{netip.MustParsePrefix("192.168.0.0/16"), private},
	{netip.MustParsePrefix("100.64.0.0/10"), private}, // shared by carriers, and Pods of some clouds
	{netip.MustParsePrefix("fc00::/7"), private},
	{netip.MustParsePrefix("fec0::/10"), private},
	{netip.MustParsePrefix("0.0.0.0/8"), reserved},
	{netip.MustParsePrefix("192.0.0.0/24"), reserved},
	{netip.MustParsePrefix("192.0.2.0/24"), reserved},
	{netip.MustParsePrefix("198.18.0.0/15"), private}, // for benchmarks, and gateways of some clusters
	{netip.MustParsePrefix("198.51.100.0/24"), reserved},
	{netip.MustParsePrefix("203.0.113.0/24"), reserved},
	{netip.MustParsePrefix("224.0.0.0/3"), reserved}, // multicast, later use, broadcast
	{netip.MustParsePrefix("::/128"), reserved},
	{netip.MustParsePrefix("100::/64"), reserved},
	{netip.MustParsePrefix("2001::/32"), reserved}, // Teredo: the IPv4 address in it is obscured
	{netip.MustParsePrefix("2001:db8::/32"), reserved},
	{netip.MustParsePrefix("ff00::/8"), reserved},
}

// embedded are the networks of IPv6 whose addresses lead to an IPv4 address, with the byte at which that begins.
var embedded = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

func kindOf(address netip.Addr) kind {
	for _, network := range special {
		if network.prefix.Contains(address) {
			return network.kind
		}
	}
	if address.Is6() {
		for _, network := range embedded {
			if bytes := address.As16(); network.prefix.Contains(address) {
				return kindOf(netip.AddrFrom4([4]byte(bytes[network.at:])))
			}
		}
		// The rest of 64:ff9b:1::/48 and the like is up to a network's own translation.
		if netip.MustParsePrefix("64:ff9b:1::/48").Contains(address) {
			return private
		}
	}
	return public
}

// Policy says which addresses may be connected to.
type Policy struct {
	// Allowed are networks that may be, although they are not public. A network that is wider than a link-local or metadata network
	// does not allow what is in that: nobody writes 169.0.0.0/8 and means it.
	Allowed []netip.Prefix
	// OnlyAllowed excludes public addresses, too: for connections without TLS.
	OnlyAllowed bool
}

// ForbiddenError is an address that may not be connected to.
type ForbiddenError struct {
	Address netip.Addr
	why     string
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("%s is %s; list its network in allowAddresses, if events are meant to go there", e.Address, e.why)
}

// Check returns a *ForbiddenError if the address may not be connected to.
func (p *Policy) Check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	kind := kindOf(address)
	for _, network := range p.Allowed {
		if network.Contains(address) && (kind != linkLocal || network.IsSingleIP() || kindOf(network.Addr()) == linkLocal) {
			return nil
		}
	}
	switch {
	case kind != public:
		return &ForbiddenError{address, string(kind)}
	case p.OnlyAllowed:
		return &ForbiddenError{address, "a public address, and http:// is not encrypted"}
	}
	return nil
}
