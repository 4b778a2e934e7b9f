package routing

import (
	"errors"
	"net/netip"
	"strings"
)

// hostPattern is an exact host, or every host that ends in the suffix.
type hostPattern struct {
	wildcard bool
	name     string // with the leading dot for a wildcard: ".acme.com"
}

// rankExact is above the rank of every wildcard, whose rank is its length.
const rankExact = 1 << 16

func (p *hostPattern) rank() int {
	if p.wildcard {
		return len(p.name)
	}
	return rankExact
}

func (p *hostPattern) match(host string) bool {
	if p.wildcard {
		return len(host) > len(p.name) && strings.HasSuffix(host, p.name)
	}
	return host == p.name
}

func compileHost(pattern string) (hostPattern, error) {
	suffix, wildcard := strings.CutPrefix(pattern, "*.")
	switch {
	case suffix == "":
		return hostPattern{}, errors.New("it is empty: write a host such as cdn.acme.com or *.acme.com")
	case strings.Contains(suffix, "*"):
		return hostPattern{}, errors.New("a '*' is only allowed at the start, for subdomains, as in *.acme.com")
	case strings.Contains(suffix, "/"):
		return hostPattern{}, errors.New("a host has neither scheme nor path: write cdn.acme.com, and the path in paths")
	case len(suffix) > 255:
		return hostPattern{}, errors.New("a host is at most 255 characters long")
	case strings.HasPrefix(suffix, "["):
		name, err := CanonicalHost(suffix)
		if wildcard || err != nil || !strings.HasSuffix(suffix, "]") {
			return hostPattern{}, errors.New("an IPv6 address is written in brackets, without port and wildcard: [2001:db8::1]")
		}
		return hostPattern{name: name}, nil
	case strings.Contains(suffix, ":"):
		return hostPattern{}, errors.New("leave out the port: it is not compared")
	case strings.Contains(suffix, "..") || strings.HasPrefix(suffix, "."):
		return hostPattern{}, errors.New("there is nothing between two dots")
	}
	name, err := CanonicalHost(suffix)
	if err != nil {
		return hostPattern{}, errors.New("a host has letters, digits and '-' only, at most 63 between two dots, and ends in a number only if it is " +
			"an IPv4 address; write international names in punycode (xn--…)")
	}
	if wildcard {
		name = "." + name
	}
	return hostPattern{wildcard: wildcard, name: name}, nil
}

// ErrHost is the error of CanonicalHost for a text that is not a host.
var ErrHost = errors.New("not a host: want a name, an IPv4 address or an IPv6 address in brackets, optionally followed by ':' and a port")

// The limits of RFC 1035, section 2.3.4, in octets.
const (
	maxHostName  = 253
	maxHostLabel = 63
)

// CanonicalHost returns a request's host in the form that routes compare: lowercase, without port, without a
// dot at the end, and with an IPv6 address in its canonical spelling. A text that is neither a name nor
// an address, with or without a port, is an error: servers behind this one could take it for another
// host, or for none. The empty text stays empty. It allocates only for uppercase letters and for
// addresses in another spelling.
func CanonicalHost(host string) (string, error) {
	if host == "" {
		return "", nil
	}
	if host[0] == '[' {
		return canonicalIPv6(host)
	}
	label, end, upper := 0, len(host), false
scan:
	for i := range len(host) {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			label++
		case c >= 'A' && c <= 'Z':
			label++
			upper = true
		case c == '.':
			if label == 0 || label > maxHostLabel {
				return "", ErrHost
			}
			label = 0
		case c == ':':
			if !isPort(host[i+1:]) {
				return "", ErrHost
			}
			end = i
			break scan
		default:
			return "", ErrHost
		}
	}
	host = host[:end]
	if label == 0 && host != "" { // then it ends in a dot, and a label precedes it
		host = host[:end-1]
		label = 1
	}
	if label == 0 || label > maxHostLabel || len(host) > maxHostName {
		return "", ErrHost
	}
	if upper {
		host = lowerASCII(host)
	}
	if endsInNumber(host) {
		if address, err := netip.ParseAddr(host); err != nil || !address.Is4() {
			return "", ErrHost
		}
	}
	return host, nil
}

func canonicalIPv6(host string) (string, error) {
	end := strings.IndexByte(host, ']')
	if end < 0 {
		return "", ErrHost
	}
	if rest := host[end+1:]; rest != "" && (rest[0] != ':' || !isPort(rest[1:])) {
		return "", ErrHost
	}
	address, err := netip.ParseAddr(host[1:end])
	if err != nil || !address.Is6() || address.Zone() != "" {
		return "", ErrHost
	}
	var room [64]byte
	if canonical := address.AppendTo(room[:0]); string(canonical) != host[1:end] {
		return "[" + string(canonical) + "]", nil
	}
	return host[:end+1], nil
}

// isPort reports whether a text is a port number.
func isPort(text string) bool {
	const maxDigits, maxPort = 5, 1<<16 - 1
	if text == "" || len(text) > maxDigits {
		return false
	}
	port := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
		port = 10*port + int(text[i]-'0')
	}
	return port <= maxPort
}

// endsInNumber is the WHATWG URL rule that distinguishes what is meant as an IPv4 address, in any of its
// unusual spellings, from a name. No top-level domain starts with a digit.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" || last[0] < '0' || last[0] > '9' {
		return false
	}
	if strings.HasPrefix(last, "0x") {
		return true
	}
	for i := range len(last) {
		if last[i] < '0' || last[i] > '9' {
			return false
		}
	}
	return true
}

// lowerASCII does not change characters that strings.ToLower would fold into ASCII, such as the Kelvin sign.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + ('a' - 'A')
		}
	}
	return string(lower)
}
