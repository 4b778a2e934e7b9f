package origin

import (
	"strings"
)

const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
	portHTTP    = 80
	portHTTPS   = 443

	// maxScheme is longer than any scheme in use: safari-web-extension has 20 characters.
	maxScheme = 32
)

// notOfApps are schemes that are neither the web's nor an app's: pages of most of them have an opaque origin (WHATWG
// HTML, "origin"), and a WebSocket handshake has the origin of its page.
var notOfApps = map[string]string{
	"about": opaqueScheme, "blob": opaqueScheme, "content": opaqueScheme, "data": opaqueScheme, "file": opaqueScheme,
	"filesystem": opaqueScheme, "javascript": opaqueScheme, "view-source": opaqueScheme,
	"ws": socketScheme, "wss": socketScheme,
	"ftp": "",
}

const (
	opaqueScheme = "; browsers send the Origin null for such pages, which is never allowed"
	socketScheme = "; a WebSocket has the origin of the page that opens it"
)

// isWeb reports whether a canonical scheme is that of web pages.
func isWeb(scheme string) bool { return scheme == schemeHTTPS || scheme == schemeHTTP }

// cutScheme splits "https://rest" into the canonical scheme and the rest. It fails for what is no scheme of web pages, of
// an app or of an extension.
func cutScheme(s string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(s, "://")
	switch {
	case !ok:
		return "", "", false
	case strings.EqualFold(scheme, schemeHTTPS):
		return schemeHTTPS, rest, true
	case strings.EqualFold(scheme, schemeHTTP):
		return schemeHTTP, rest, true
	case !isScheme(scheme):
		return "", "", false
	}
	scheme = strings.ToLower(scheme)
	_, other := notOfApps[scheme]
	return scheme, rest, !other
}

// isScheme reports whether it is a scheme of RFC 3986, section 3.1, and of no unusual length.
func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxScheme
}

// defaultPort returns the port that a serialization omits, or 0 for the schemes of apps, which have none.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case schemeHTTPS:
		return portHTTPS
	case schemeHTTP:
		return portHTTP
	default:
		return 0
	}
}

// canonicalHostOf returns the canonical host of an origin with this scheme. The host of an app is a name that it has
// chosen, and that of an extension an id: neither is looked up in DNS, or ever an address.
func canonicalHostOf(scheme, host string) (string, error) {
	switch {
	case isWeb(scheme):
		return canonicalHost(host)
	case len(host) > maxHost:
		return "", errHostLong
	case !isASCII(host):
		return "", errHostCharacters
	}
	host = strings.ToLower(host)
	return host, checkHost(host)
}
