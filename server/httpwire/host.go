package httpwire

import (
	"net/netip"
	"strings"
)

const maxPortDigits = 5

// IsHost reports whether a Host, or an :authority, is one that all servers read alike: a name, an
// IPv4 address or an IPv6 address in brackets, and maybe a port (RFC 3986, section 3.2). What is
// none, net/http would send as an empty Host.
func IsHost(text string) bool {
	name, port := text, ""
	if at := strings.LastIndexByte(text, ':'); at > strings.LastIndexByte(text, ']') {
		name, port = text[:at], text[at+1:]
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' || i == maxPortDigits {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return ok && err == nil && address.Is6() && address.Zone() == ""
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name != ""
}
