package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/decision"
)

const (
	headerCacheControl = "Cache-Control"
	headerExpires      = "Expires"

	// HeaderCaching tells gateways, which do not know Groups, that shared caches may keep a response. Without it they
	// may not.
	HeaderCaching = "X-Keyward-Caching"
	cachingShared = "shared"

	private = "private"
)

// Caching adds the header that tells gateways about keeping the response to an allowed request.
func Caching(headers []Header, d decision.Decision) []Header {
	if d.Shareable() {
		return append(headers, Header{HeaderCaching, cachingShared})
	}
	return headers
}

// CacheControl returns the value of that header for an application that responds itself, or "" if the application may
// choose it.
func CacheControl(d decision.Decision) string {
	switch {
	case !d.Allowed():
		return noStore.Value
	case d.Shareable():
		return ""
	default:
		return private
	}
}

// Vary returns the value of that header for responses to the request: everything that a decision can depend on, so that
// a cache gives the response to nobody who could get another decision.
func Vary(request *decision.Request) string {
	names := vary(request)
	if request.KeyHeader != "" && request.PreflightMethod == "" {
		return names + ", " + request.KeyHeader
	}
	return names
}

// vary is for keys in the usual headers. Referer counts if there is no Origin, and Sec-Fetch-Site if there is neither.
func vary(request *decision.Request) string {
	switch {
	case request.PreflightMethod != "":
		return varyOnPreflight
	case request.Origin != "":
		return varyOnKeys
	case request.Referer != "":
		return varyOnReferer
	default:
		return varyOnAll
	}
}

const (
	varyOnPreflight = headerOrigin + ", " + headerRequestMethod + ", " + headerRequestHeaders
	varyOnKeys      = HeaderAuthorization + ", " + HeaderAPIKey + ", " + headerOrigin
	varyOnReferer   = varyOnKeys + ", " + headerReferer
	varyOnAll       = varyOnReferer + ", " + headerFetchSite
)

// onlyPrivate is shared by all responses without another directive. It has no room to append to.
var onlyPrivate = []string{private}

// AddVary adds names to those on which a response depends already. It puts all on one line, because some caches read
// only one of two.
func AddVary(header http.Header, names string) {
	lines := header[HeaderVary]
	if len(lines) == 0 {
		header[HeaderVary] = []string{names}
		return
	}
	all := strings.Join(lines, ", ")
	for name := range strings.SplitSeq(names, ", ") {
		if !varies(lines, name) && !varies(lines, "*") {
			all += ", " + name
		}
	}
	header[HeaderVary] = []string{all}
}

func varies(lines []string, on string) bool {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(name, " \t"), on) {
				return true
			}
		}
	}
	return false
}

// Privatize lets only the client keep a response, regardless of what the content server says to shared caches (RFC
// 9111, section 5.2.2.7). The content server still decides how long, and whether at all.
func Privatize(header http.Header) {
	for name := range header {
		if isForSharedCaches(name) {
			delete(header, name)
		}
	}
	existing, expires := header[headerCacheControl], len(header[headerExpires]) > 0
	if len(existing) == 0 && !expires {
		header[headerCacheControl] = onlyPrivate
		return
	}
	directives, needsAge := []string{private}, expires
	for _, line := range existing {
		for rest := line; rest != ""; {
			var directive string
			directive, rest = cutDirective(rest)
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(strings.TrimRight(name, " \t")) {
			case "", "public", "s-maxage", private:
				continue
			case "max-age", "no-cache", noStore.Value: // then Expires means nothing
				needsAge = false
			}
			directives = append(directives, directive)
		}
	}
	if needsAge {
		directives = slices.Insert(directives, 1, freshness(header))
	}
	delete(header, headerExpires) // which caches use that do not know Cache-Control
	if len(directives) == 2 && strings.EqualFold(directives[1], noStore.Value) {
		directives = directives[1:] // nobody may keep it
	}
	header[headerCacheControl] = []string{strings.Join(directives, ", ")}
}

// cutDirective cuts the first directive off a list. Commas in quoted strings separate nothing. A quote that is never
// closed hides nothing either: caches that read Cache-Control by searching for words see what comes first, and that is
// private.
func cutDirective(list string) (directive, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return strings.Trim(list[:i], " \t"), list[i+1:]
		}
	}
	return strings.Trim(list, " \t"), ""
}

// freshness returns what Expires says, as a directive of Cache-Control (RFC 9111, section 4.2.1).
func freshness(header http.Header) string {
	expires, date := header[headerExpires], header["Date"]
	if len(expires) == 1 && len(date) == 1 {
		end, err := http.ParseTime(expires[0])
		begin, otherErr := http.ParseTime(date[0])
		if err == nil && otherErr == nil && end.After(begin) {
			return "max-age=" + strconv.FormatInt(int64(end.Sub(begin).Seconds()), 10)
		}
	}
	return "max-age=0" // an invalid date is in the past (section 5.3)
}

// SharedCacheHeaders returns the headers in use that give a kind of shared cache other instructions than Cache-Control,
// and override it there: those of nginx, surrogates, CDNs and RFC 9213. Tests compare the configurations of other
// proxies with it.
func SharedCacheHeaders() []string {
	return []string{
		"X-Accel-Expires", "Surrogate-Control", "Edge-Control", "X-LiteSpeed-Cache", "X-Varnish-TTL",
		"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Vercel-CDN-Cache-Control", "Netlify-CDN-Cache-Control",
		"Akamai-Cache-Control", "X-LiteSpeed-Cache-Control",
	}
}

// FilterInformational removes headers from an informational response (1xx) that say who may keep or read a response,
// and Keyward's own headers.
func FilterInformational(header http.Header) {
	for name := range header {
		if isResponsesOwn(name) {
			delete(header, name)
		}
	}
}

// FilterTrailers removes the same headers from the trailers of a response, and those that may be a trailer in no
// message.
func FilterTrailers(trailer http.Header) {
	for name := range trailer {
		if isResponsesOwn(name) || !MayTrail(name) {
			delete(trailer, name)
		}
	}
}

// isResponsesOwn reports whether a field belongs only in the headers of the final response.
func isResponsesOwn(name string) bool {
	if isReserved(name) || isForSharedCaches(name) || hasFoldedPrefix(name, "access-control-") || hasFoldedPrefix(name, "ratelimit") {
		return true
	}
	for _, known := range []string{"cache-control", "expires", "pragma", "age", "vary", "set-cookie"} {
		if len(name) == len(known) && hasFoldedPrefix(name, known) {
			return true
		}
	}
	return false
}

// isForSharedCaches reports whether a field is one of them, or ends as RFC 9213 specifies.
func isForSharedCaches(name string) bool {
	if begin := len(name) - len(anyCacheControl); begin >= 0 && hasFoldedPrefix(name[begin:], anyCacheControl) {
		return true
	}
	for _, known := range forSharedCaches {
		if len(name) == len(known) && hasFoldedPrefix(name, known) {
			return true
		}
	}
	return false
}

const anyCacheControl = "-cache-control" // of all CDNs, or of one

var forSharedCaches = [...]string{"x-accel-expires", "surrogate-control", "edge-control", "x-litespeed-cache", "x-varnish-ttl"}
