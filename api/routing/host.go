package routing

import (
	"errors"
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
		return hostPattern{}, errors.New("a '*' may only stand for subdomains at the very start, as in *.acme.com")
	case strings.Contains(suffix, "/"):
		return hostPattern{}, errors.New("a host has neither scheme nor path: write cdn.acme.com, and the path in paths")
	case len(suffix) > 255:
		return hostPattern{}, errors.New("a host is at most 255 characters long")
	case strings.HasPrefix(suffix, "["):
		if wildcard || !strings.HasSuffix(suffix, "]") {
			return hostPattern{}, errors.New("an IPv6 address is written in brackets, without port and wildcard: [2001:db8::1]")
		}
		return hostPattern{name: CanonicalHost(suffix)}, nil
	case strings.Contains(suffix, ":"):
		return hostPattern{}, errors.New("leave out the port: it is not compared")
	}
	name := CanonicalHost(suffix)
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return hostPattern{}, errors.New("there is nothing between two dots")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return hostPattern{}, errors.New("a host has letters, digits and '-' only; write international names in punycode (xn--…)")
			}
		}
	}
	if wildcard {
		name = "." + name
	}
	return hostPattern{wildcard: wildcard, name: name}, nil
}

// CanonicalHost is a request's host as routes compare it: lowercase, without port and
// without a dot at the end. It allocates only for uppercase letters.
func CanonicalHost(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		host = host[:colon]
	}
	return lowerASCII(strings.TrimSuffix(host, "."))
}

// lowerASCII leaves alone what strings.ToLower would fold into ASCII, such as the Kelvin sign.
func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; c < 'A' || c > 'Z' {
			continue
		}
		lower := []byte(s)
		for j := i; j < len(lower); j++ {
			if c := lower[j]; c >= 'A' && c <= 'Z' {
				lower[j] = c + ('a' - 'A')
			}
		}
		return string(lower)
	}
	return s
}
