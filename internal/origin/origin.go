// Package origin defines web origins and the patterns that allow them. The
// manager parses patterns with it to refuse invalid ones, and validation servers to match them.
//
// An origin is scheme, host and port (RFC 6454), in the serialization that browsers send
// (WHATWG HTML, "ASCII serialization of an origin").
package origin

import (
	"errors"
	"strconv"
	"strings"
)

// Origin is an origin in canonical form. Of a web page, Scheme is "http" or "https", Host is lowercase
// ASCII without a trailing dot (IDN as punycode, IPv6 in brackets), and Port is never 0. Of an app or a browser
// extension, Scheme is its own, such as "capacitor", and Port is 0 if none is written: such a scheme has no default.
// Origins that are the same compare equal.
type Origin struct {
	Scheme, Host string
	Port         uint16
}

// The reasons why a header is not an origin.
var (
	// ErrOpaque is the error for "null", which sandboxed frames and local files send.
	ErrOpaque    = errors.New("an opaque origin")
	ErrMalformed = errors.New("not an origin: want scheme://host[:port] and nothing else")
)

// Parse parses the value of an Origin header. It fails with ErrOpaque or ErrMalformed; it
// accepts neither path nor user information, nor the list of origins that RFC 6454 allows
// and nobody sends. It does not allocate for a canonical header.
func Parse(header string) (Origin, error) {
	if header == "null" {
		return Origin{}, ErrOpaque
	}
	scheme, authority, ok := cutScheme(header)
	if !ok {
		return Origin{}, ErrMalformed
	}
	return fromAuthority(scheme, authority)
}

// ParseReferer returns the origin of a Referer header (RFC 9110, section 10.1.3). It
// fails with ErrOpaque or ErrMalformed; user information is malformed, since RFC 9110
// forbids senders to include it and its only use here would be to deceive. So are the schemes of
// apps and extensions: browsers send no Referer for their pages.
func ParseReferer(header string) (Origin, error) {
	if strings.HasPrefix(header, "about:") {
		return Origin{}, ErrOpaque
	}
	scheme, rest, ok := cutScheme(header)
	if !ok || !isWeb(scheme) {
		return Origin{}, ErrMalformed
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return fromAuthority(scheme, rest)
}

// String returns the serialization, with the port only where it is not the default.
func (o Origin) String() string {
	s := o.Scheme + "://" + o.Host
	if o.Port != defaultPort(o.Scheme) {
		s += ":" + strconv.Itoa(int(o.Port))
	}
	return s
}

// IsLocalhost reports whether the origin is a web page of the machine itself, on any port:
// localhost, *.localhost (RFC 6761), 127.0.0.0/8 and [::1]. An app that calls its own pages localhost
// is none: it is installed on the devices of strangers.
func (o Origin) IsLocalhost() bool {
	switch {
	case !isWeb(o.Scheme):
		return false
	case o.Host == "localhost", strings.HasSuffix(o.Host, ".localhost"), o.Host == "[::1]":
		return true
	case strings.HasPrefix(o.Host, "127."):
		return endsInNumber(o.Host) // and thus an IPv4 address
	default:
		return false
	}
}

// fromAuthority parses host[:port].
func fromAuthority(scheme, authority string) (Origin, error) {
	host, portText, hasPort := cutPort(authority)
	port := defaultPort(scheme)
	if hasPort {
		var ok bool
		if port, ok = parsePort(portText); !ok {
			return Origin{}, ErrMalformed
		}
	}
	host, err := canonicalHostOf(scheme, host)
	if err != nil {
		return Origin{}, ErrMalformed
	}
	return Origin{Scheme: scheme, Host: host, Port: port}, nil
}

// cutPort splits off what follows the last ':' that is not inside brackets.
func cutPort(authority string) (host, port string, ok bool) {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || colon < strings.LastIndexByte(authority, ']') {
		return authority, "", false
	}
	return authority[:colon], authority[colon+1:], true
}

// parsePort accepts 1 to 65535 without leading zeros or signs.
func parsePort(s string) (uint16, bool) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}
