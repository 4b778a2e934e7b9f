package httpapi

import (
	"strings"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

// The headers of the CORS protocol (WHATWG Fetch, section 3.3). Credentials are not among them: a page sends the key,
// the browser never sends it on its own.
const (
	HeaderAllowOrigin = "Access-Control-Allow-Origin"
	HeaderVary        = "Vary"
	// HeaderExposeHeaders is a list, to which the content server's own is added.
	HeaderExposeHeaders = "Access-Control-Expose-Headers"

	headerOrigin         = "Origin"
	headerReferer        = "Referer"
	headerFetchSite      = "Sec-Fetch-Site"
	headerRequestMethod  = "Access-Control-Request-Method"
	headerRequestHeaders = "Access-Control-Request-Headers"
	headerAllowMethods   = "Access-Control-Allow-Methods"
	headerAllowHeaders   = "Access-Control-Allow-Headers"
	headerMaxAge         = "Access-Control-Max-Age"

	readMethods = "GET, HEAD"
	keyHeaders  = "Authorization, X-Api-Key, Content-Type"
	maxAge      = "600" // seconds; a change of what is allowed takes effect regardless of it
	exposed     = HeaderRequestID + ", RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, ETag, Content-Disposition"

	maxRequestedHeaders = 2 << 10 // bytes
)

// DecisionHeaders are the headers of requests, other than the credential's, that decisions depend on.
var DecisionHeaders = []string{headerOrigin, headerReferer, headerFetchSite, headerRequestMethod, headerRequestHeaders}

// CORS returns the headers that let pages of the request's origin read the response, or none if they may not. The
// response varies on the origin in any case.
func CORS(d decision.Decision, request *decision.Request) []Header {
	if !d.OriginAllowed {
		return nil
	}
	if _, err := origin.Parse(request.Origin); err != nil || !isSafe(request.Origin) { // then it is not allowed, or not from a browser
		return nil
	}
	// Browsers compare it byte by byte with what they sent (Fetch, section 4.10). A dot at the end of the host makes it
	// another origin for them, though it is the same host.
	allowed := Header{HeaderAllowOrigin, request.Origin}
	switch d.Code {
	case decision.Preflight:
		methods := readMethods
		if asked := request.PreflightMethod; d.MethodAllowed && asked != "GET" && asked != "HEAD" {
			methods += ", " + asked
		}
		return []Header{allowed, {headerAllowMethods, methods}, {headerAllowHeaders,
			keyHeaders + allowedHeaders(request.PreflightHeaders)}, {headerMaxAge, maxAge}}
	case decision.Allowed, decision.Public:
		if d.Retiring() {
			return []Header{allowed, {HeaderExposeHeaders, exposed + ", " + HeaderDeprecation + ", " + HeaderSunset}}
		}
		return []Header{allowed, {HeaderExposeHeaders, exposed}}
	default:
		return []Header{allowed, {HeaderExposeHeaders, exposed + ", Retry-After, WWW-Authenticate"}}
	}
}

// allowedHeaders returns the names in an Access-Control-Request-Headers that a page may send, to be added to a list. It
// omits invalid names, names that only Keyward sets, and the wildcard, which is not a name.
func allowedHeaders(list string) string {
	if len(list) > maxRequestedHeaders {
		return ""
	}
	var names strings.Builder
	for name := range strings.SplitSeq(list, ",") {
		name = strings.Trim(name, " \t")
		if IsToken(name) && name != "*" && !strings.HasPrefix(fold(name), reservedPrefix) {
			names.WriteString(", " + name)
		}
	}
	return names.String()
}
