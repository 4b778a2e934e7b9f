package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/server/credential"
)

// kind is what a header means to content servers beyond its own content.
type kind uint8

const (
	ordinary kind = iota
	// override makes some content servers and frameworks use another method, path, host or file than the request's, which
	// nobody has decided on.
	override
	// forwarding says where a request comes from, and for which host and by which protocol it came. Only trusted proxies
	// know that.
	forwarding
)

// unusualNames are names, folded, and prefixes of names that end in '-'.
var unusualNames = map[string]kind{
	// The method: Rails, Laravel, Symfony, Express, ASP.NET and others.
	"x-http-method-override": override, "x-http-method": override, "x-method-override": override, "x-method": override,
	"x-forwarded-method": override,
	"method-override":    override, "override-method": override, "http-method-override": override,
	"x-http-method-overrides": override, "x-http-verb": override, "x-http-verb-override": override, "x-verb-override": override,
	// The path: IIS and its URL rewriting, Symfony, Zend, Spring, Traefik, Envoy, WSGI.
	"x-original-": override, "x-rewrite-": override, "x-forwarded-uri": override, "x-forwarded-url": override,
	"x-forwarded-path": override, "x-forwarded-prefix": override,
	"x-forwarded-pathbase": override, "x-replaced-path": override, "x-envoy-original-path": override, "x-script-name": override,
	"x-forwarded-script-name": override,
	"x-request-uri":           override, "x-proxy-url": override, "x-waws-unencoded-url": override, "x-http-path-override": override,
	"original-url": override, "original-uri": override, "original-path": override, "original-host": override,
	"original-method": override, "rewrite-url": override, "rewrite-uri": override, "request-uri": override, "request-url": override,
	"x-override-": override, "x-url": override, "x-uri": override, "x-orig-": override, "x-requested-url": override,
	"x-requested-uri": override, "x-request-url": override, "x-path-info": override, "path-info": override, "script-name": override,
	// The path to which WebDAV's COPY and MOVE write.
	"destination": override,
	// The proxy that programs behind CGI send their own requests to: HTTP_PROXY.
	"proxy": override,
	// The host.
	"x-host": override, "x-forwarded-server": override, "x-http-host-override": override, "x-host-override": override,
	"x-envoy-original-host": override, "x-proxy-host": override,
	// The file: Rack.
	"x-accel-mapping": override, "x-sendfile-type": override,

	"x-forwarded-": forwarding, "x-forwarded": forwarding, "forwarded": forwarding, "forwarded-for": forwarding,
	"x-real-": forwarding, "real-ip": forwarding,
	"true-client-ip": forwarding, "x-true-client-ip": forwarding, "cf-connecting-": forwarding, "cf-pseudo-ipv4": forwarding,
	"x-client-ip": forwarding, "client-ip": forwarding, "x-cluster-client-ip": forwarding,
	"fastly-client-ip": forwarding, "fly-client-ip": forwarding, "do-connecting-ip": forwarding,
	"x-nf-client-connection-ip": forwarding, "x-vercel-forwarded-for": forwarding,
	"x-azure-": forwarding, "x-appengine-user-ip": forwarding, "x-appengine-remote-addr": forwarding,
	"cloudfront-viewer-address": forwarding, "x-envoy-external-address": forwarding,
	"x-originating-ip": forwarding, "x-remote-": forwarding, "x-proxyuser-ip": forwarding, "proxy-client-ip": forwarding,
	"wl-proxy-": forwarding, "x-coming-from": forwarding, "ali-cdn-real-ip": forwarding, "cdn-src-ip": forwarding,
	"front-end-https": forwarding, "x-scheme": forwarding, "x-url-scheme": forwarding, "x-arr-ssl": forwarding,
	"remote-addr": forwarding, "remote-user": forwarding, "remote-host": forwarding, "incap-client-ip": forwarding,
	"akamai-client-ip": forwarding,
}

// maxUnusual is the length of the longest of them.
var maxUnusual = func() (longest int) {
	for name := range unusualNames {
		longest = max(longest, len(name))
	}
	return longest
}()

// mayBeUnusual has, for the first letter of the names, their second letters, one bit for each. Bit 0 is for other
// characters.
var mayBeUnusual = func() (second [256]uint32) {
	for name := range unusualNames {
		bit := uint32(1) << letter(folds[name[1]])
		second[name[0]] |= bit
		second[name[0]-'a'+'A'] |= bit
	}
	return second
}()

// letter returns the number of a folded letter, beginning with 1, or 0 for other characters.
func letter(c byte) byte {
	if c < 'a' {
		return 0
	}
	return c - 'a' + 1
}

// kindOf recognizes every spelling that an upstream may take for one of the names. It is called for every header of
// every request.
func kindOf(name string) kind {
	if len(name) < 2 || mayBeUnusual[name[0]]>>letter(folds[name[1]])&1 == 0 {
		return ordinary
	}
	var room [40]byte // more than the longest name needs
	folded := room[:0]
	for i := range min(len(name), maxUnusual+1) {
		c := folds[name[i]]
		if c == 0 { // not a token, so that it is in no valid header
			folded = append(room[:0], fold(name)...)
			return kindOfFolded(folded)
		}
		folded = append(folded, c)
	}
	return kindOfFolded(folded)
}

func kindOfFolded(folded []byte) kind {
	if kind, ok := unusualNames[string(folded)]; ok {
		return kind
	}
	found, hyphens := ordinary, 0
	for i, c := range folded {
		if c != '-' {
			continue
		}
		if kind, ok := unusualNames[string(folded[:i+1])]; ok {
			found = kind
		}
		if hyphens++; hyphens == 2 { // none of the prefixes has more
			break
		}
	}
	return found
}

// UnusualNames returns the names of overrides and forwarding headers, folded, and prefixes of names that end in '-'.
// Tests compare the configurations of other proxies with it.
func UnusualNames() []string { return slices.Sorted(maps.Keys(unusualNames)) }

// IsOverride reports whether the header of that name is removed because content servers may obey it.
func IsOverride(name string) bool { return kindOf(name) == override }

// Sender is what is known of who has sent a request that is allowed.
type Sender struct {
	// Trusted is set for a trusted proxy.
	Trusted bool
	// OwnAuthorization is set if the request's Authorization is for the upstream.
	OwnAuthorization bool
}

// Stripping is what is removed from allowed requests before upstreams see them, in addition to what only Keyward may
// set.
type Stripping struct {
	// KeepCredential lets upstreams see the key.
	KeepCredential bool
	// Keys is where keys may be.
	Keys *credential.Locations
	// KeepOverrides are names of overrides that upstreams may see, in this spelling with any case.
	KeepOverrides []string
	// Writes are the forwarding headers that the proxy in between sets itself, for any client; nil for none.
	Writes *Names
}

// Names appends to an empty list the names of the headers to remove, as sent and sorted. It omits those that are set
// anyway, because Envoy removes last. Forwarding headers from a trusted peer stay, unless they are in a spelling that
// proxies do not use and so come from its client. A key or an override in such a spelling is not what was configured to
// stay either.
func (s *Stripping) Names(names []string, header http.Header, from Sender, set []Header) []string {
	for name := range header {
		if s.mayStay(name, from) {
			continue
		}
		if !slices.ContainsFunc(set, func(h Header) bool { return strings.EqualFold(h.Name, name) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Strip removes these headers.
func (s *Stripping) Strip(header http.Header, from Sender) {
	for name := range header {
		if !s.mayStay(name, from) {
			delete(header, name)
		}
	}
}

func (s *Stripping) mayStay(name string, from Sender) bool {
	if isReserved(name) || (!s.KeepCredential || !IsUsual(name)) && s.carriesKey(name, from) {
		return false
	}
	switch kindOf(name) {
	case override:
		return slices.ContainsFunc(s.KeepOverrides, func(kept string) bool { return strings.EqualFold(kept, name) })
	case forwarding:
		return (from.Trusted || s.Writes != nil && s.Writes.Find(name) != "") && IsUsual(name)
	default:
		return true
	}
}

// carriesKey reports whether the header carries a key.
func (s *Stripping) carriesKey(name string, from Sender) bool {
	switch {
	case isFolded(name, foldedAPIKey):
		return true
	case isFolded(name, foldedAuthorization):
		return !from.OwnAuthorization
	default:
		return IsKeyHeader(s.Keys, name)
	}
}

// Set sets headers of a request or response.
func Set(header http.Header, set []Header) {
	values := make([]string, len(set)) // one allocation for all
	for i, h := range set {
		values[i] = h.Value
		header[h.Name] = values[i : i+1 : i+1]
	}
}
