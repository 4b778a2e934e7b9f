package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

// The headers that tell the upstream whose request it is.
const (
	HeaderGroup         = "X-Keyward-Group"       // namespace/name
	HeaderGroupName     = "X-Keyward-Group-Name"  // the display name
	HeaderTier          = "X-Keyward-Tier"        //
	HeaderProject       = "X-Keyward-Project"     //
	HeaderKeyID         = "X-Keyward-Key-Id"      //
	HeaderPermissions   = "X-Keyward-Permissions" // separated by commas
	HeaderPrincipal     = "X-Keyward-Principal"   // all of that, signed, if there is a key for it
	headerContextPrefix = "X-Keyward-Context-"    // and the name of a context value
	headerSealedPrefix  = "X-Keyward-Sealed-"     // and the name of a sealed one

	reservedPrefix = "x-keyward-"

	foldedAuthorization = "authorization"
	foldedAPIKey        = "x-api-key"
	foldedRequestID     = "x-request-id"
)

// HeaderUpgrade asks for another protocol (RFC 9110, section 7.8). ProtocolWebSocket is the only one that is passed on:
// other protocols contain requests that nobody decides on.
const (
	HeaderUpgrade     = "Upgrade"
	ProtocolWebSocket = "websocket"
)

// Header is one header line.
type Header struct {
	Name, Value string
}

// ContextHeaders returns the headers that an allowed request gains. It omits empty values. The display name, which is
// free text, is encoded by Encode. All other values are printable ASCII and appear unchanged; one that violates this is
// encoded, too. The principal is that of the request, "" if there is none.
func ContextHeaders(d decision.Decision, principal string) []Header {
	if !d.Allowed() {
		return nil
	}
	values := len(d.Group.Context) + len(d.Key.Scope.Context) + len(d.Group.Sealed)
	return AppendContextHeaders(make([]Header, 0, 7+values+1), d, principal) // and the request's id
}

// AppendContextHeaders is ContextHeaders for a request that is allowed, and for callers with a list of their own, which
// must not contain such headers yet.
func AppendContextHeaders(headers []Header, d decision.Decision, principal string) []Header {
	add := func(name, value string) {
		if value != "" {
			headers = append(headers, Header{name, value})
		}
	}
	add(HeaderGroup, safe(d.Group.Identity))
	add(HeaderGroupName, Encode(d.Group.DisplayName))
	add(HeaderTier, safe(d.Group.Tier))
	add(HeaderProject, safe(d.Project.Name))
	add(HeaderKeyID, safe(d.Key.ID))
	add(HeaderPermissions, Permissions(d))
	add(HeaderPrincipal, principal)
	for value := range d.ContextValues {
		if name, ok := headerOf(value); ok && !slices.ContainsFunc(headers, func(h Header) bool { return h.Name == name }) {
			add(name, safe(value.Value))
		}
	}
	for i := range d.Group.Sealed {
		add(d.Group.Sealed[i].Header, safe(d.Group.Sealed[i].Value))
	}
	return headers
}

// headerOf avoids making the name of a header again for every request.
func headerOf(value *decision.ContextValue) (name string, ok bool) {
	if value.Header != "" {
		return value.Header, true
	}
	return ContextHeaderName(value.Name)
}

// Permissions lists the permissions of an allowed request's key, of which there are none without a key.
func Permissions(d decision.Decision) string { return safe(strings.Join(d.Key.Scope.Permissions, ",")) }

// ContextHeaderName returns the header of a context value: "X-Keyward-Context-Bucketname" for "bucketName", as header
// names have no case. It fails for names with other characters than letters, digits and '-': upstreams that fold others
// could not distinguish them.
func ContextHeaderName(name string) (string, bool) { return headerName(headerContextPrefix, name) }

// SealedHeaderName is ContextHeaderName for a value of the sealed context.
func SealedHeaderName(name string) (string, bool) { return headerName(headerSealedPrefix, name) }

func headerName(prefix, name string) (string, bool) {
	if name == "" {
		return "", false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return "", false
		}
	}
	return http.CanonicalHeaderKey(prefix + name), true
}

// Encode makes any text safe in a header line: all bytes except printable ASCII, '%' itself, and spaces at the ends are
// percent-encoded as UTF-8, so that decodeURIComponent and url.PathUnescape return the text.
func Encode(text string) string {
	if isSafe(text) && !strings.Contains(text, "%") {
		return text
	}
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i, c := range []byte(text) {
		if isPrintable(c) && c != '%' && (c != ' ' || i > 0 && i < len(text)-1) {
			out.WriteByte(c)
			continue
		}
		out.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return out.String()
}

// safe returns text unchanged if it can be sent, and encoded otherwise.
func safe(text string) string {
	if isSafe(text) {
		return text
	}
	return Encode(text)
}

func isSafe(text string) bool {
	for i := range len(text) {
		if !isPrintable(text[i]) {
			return false
		}
	}
	return strings.Trim(text, " ") == text
}

func isPrintable(c byte) bool { return c >= 0x20 && c < 0x7f }

// UpstreamHeaders returns the headers that the upstream gets with an allowed request: its context and its id.
func UpstreamHeaders(d decision.Decision, principal, requestID string) []Header {
	return append(ContextHeaders(d, principal), Header{HeaderRequestID, requestID})
}

// isReserved reports whether an upstream may take the name for one of Keyward's headers or for the request id, in any
// spelling.
func isReserved(name string) bool {
	return hasFoldedPrefix(name, reservedPrefix) || isFolded(name, foldedRequestID)
}

// MayBeRemoved reports whether the header of that name may have to be removed from a request.
func MayBeRemoved(name string) bool {
	return isReserved(name) || isFolded(name, foldedAuthorization) || isFolded(name, foldedAPIKey) || kindOf(name) != ordinary
}

// IsReserved reports whether only Keyward may set the header of that name, in any spelling.
func IsReserved(name string) bool { return hasFoldedPrefix(name, reservedPrefix) }

// SendsReserved reports whether there is a header, in any spelling, that only Keyward may set.
func SendsReserved(header http.Header) bool {
	for name := range header {
		if IsReserved(name) {
			return true
		}
	}
	return false
}

// IsKeyHeader reports whether an upstream may take the name for that of a header that is configured to carry a key.
func IsKeyHeader(keys *credential.Locations, name string) bool {
	return slices.ContainsFunc(keys.Folded(), func(folded string) bool { return isFolded(name, folded) })
}

// Decisive are the headers that decisions depend on, and upstreams may, too: a Connection header that names them (RFC
// 9110, section 7.6.1) does not remove them from the request to the upstream.
var Decisive = append([]string{HeaderAuthorization, HeaderAPIKey}, DecisionHeaders...)

// mayNotTrail are names, folded, and prefixes of names that end in '-', of fields that say how to frame, route,
// authenticate or read a message. They must be headers, not trailers (RFC 9110, section 6.5.1).
var mayNotTrail = []string{
	reservedPrefix, "x-request-id", "authorization", "x-api-key", "cookie", "proxy-", "origin", "referer", "sec-", "access-control-",
	"host", "via", "expect", "range", "if-", "content-", "cache-control", "pragma", "max-forwards",
	"transfer-encoding", "te", "trailer", "connection", "keep-alive", "upgrade",
}

// MayTrail reports whether an upstream may see a request's trailer of that name.
func MayTrail(name string) bool {
	folded := fold(name)
	return kindOf(name) == ordinary && !slices.ContainsFunc(mayNotTrail, func(s string) bool {
		return folded == s || strings.HasSuffix(s, "-") && strings.HasPrefix(folded, s)
	})
}

// folds maps the bytes of names as CGI and its successors do: they turn lower case into upper case, and all except
// letters and digits into one character, which is '-' here. 0 is for bytes beyond ASCII.
var folds = func() (table [256]byte) {
	for c := range byte(utf8.RuneSelf) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			table[c] = c
		case c >= 'A' && c <= 'Z':
			table[c] = c + 'a' - 'A'
		default:
			table[c] = '-'
		}
	}
	return table
}()

func fold(name string) string {
	folded := []byte(strings.ToLower(name))
	for i, c := range folded {
		if folded[i] = folds[c]; folded[i] == 0 {
			folded[i] = '-'
		}
	}
	return string(folded)
}

// IsUsual reports whether a name is spelled as proxies and Keyward spell it. With other characters, a name that Keyward
// looks for was chosen by the client, whoever passes it on.
func IsUsual(name string) bool {
	for i := range len(name) {
		if c := name[i]; folds[c] == 0 || folds[c] == '-' && c != '-' {
			return false
		}
	}
	return true
}

// hasFoldedPrefix is strings.HasPrefix(fold(name), prefix) without a copy of the name. The prefix is folded, and ASCII.
func hasFoldedPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := folds[name[i]]
		if c == 0 { // the lowercase form of a letter may have fewer bytes
			return strings.HasPrefix(fold(name), prefix)
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// isFolded is fold(name) == folded without a copy of the name.
func isFolded(name, folded string) bool {
	return hasFoldedPrefix(name, folded) && (len(name) == len(folded) || fold(name) == folded)
}
