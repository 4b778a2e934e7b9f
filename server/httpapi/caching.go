package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/decision"
)

const (
	headerCacheControl = "Cache-Control"
	headerExpires      = "Expires"

	// HeaderCaching tells gateways, which cannot know, that shared caches may keep an answer. Without
	// it they may not.
	HeaderCaching = "X-Keyward-Caching"
	cachingShared = "shared"

	private = "private"
)

// Caching returns what gateways are told about keeping the answer to a request that is allowed.
func Caching(headers []Header, d decision.Decision) []Header {
	if d.Group.SharedCaching {
		return append(headers, Header{HeaderCaching, cachingShared})
	}
	return headers
}

// CacheControl is the value of that header for an application that answers by itself, or "" where
// that is its own business.
func CacheControl(d decision.Decision) string {
	switch {
	case !d.Allowed():
		return noStore.Value
	case d.Group.SharedCaching:
		return ""
	default:
		return private
	}
}

// Vary is the value of that header in answers to the request: whatever a decision can depend on,
// so that a cache gives the answer to nobody about whom it could be another. Referer counts where
// there is no Origin.
func Vary(request *decision.Request) string {
	switch {
	case request.PreflightMethod != "":
		return varyOnPreflight
	case request.Origin != "":
		return varyOnKeys
	default:
		return varyOnAll
	}
}

const (
	varyOnPreflight = headerOrigin + ", " + headerRequestMethod + ", " + headerRequestHeaders
	varyOnKeys      = HeaderAuthorization + ", " + HeaderAPIKey + ", " + headerOrigin
	varyOnAll       = varyOnKeys + ", " + headerReferer
)

// privately is shared by all answers of which nothing else is said. It has no room to append to.
var onlyPrivate = []string{private}

// AddVary adds names to those on which an answer depends already, on one line: some caches look
// at one of two.
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

// Privatize lets only the client keep an answer, whatever the content server says to caches that
// serve more than one (RFC 9111, section 5.2.2.7). How long, and whether at all, stays its word.
func Privatize(header http.Header) {
	for name := range header {
		if isForSharedCaches(name) {
			delete(header, name)
		}
	}
	existing := header[headerCacheControl]
	if len(existing) == 0 {
		if len(header[headerExpires]) == 0 {
			header[headerCacheControl] = onlyPrivate
			return
		}
		header[headerCacheControl] = []string{private + freshness(header)}
		delete(header, headerExpires) // which caches that know no Cache-Control go by
		return
	}
	directives := []string{private}
	for _, line := range existing {
		for rest := line; rest != ""; {
			var directive string
			directive, rest = cutDirective(rest)
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(strings.TrimRight(name, " \t")) {
			case "", "public", "s-maxage", private:
				continue
			}
			directives = append(directives, directive)
		}
	}
	if len(directives) == 2 && strings.EqualFold(directives[1], noStore.Value) {
		directives = directives[1:] // nobody keeps it
	}
	header[headerCacheControl] = []string{strings.Join(directives, ", ")}
}

// cutDirective cuts the first off a list, in which commas may be quoted. A quote that is never
// closed hides nothing: who reads Cache-Control by looking for words sees what comes first, and
// that is private.
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

// freshness says in Cache-Control what Expires says (RFC 9111, section 4.2.1).
func freshness(header http.Header) string {
	expires, date := header[headerExpires], header["Date"]
	if len(expires) == 1 && len(date) == 1 {
		end, err := http.ParseTime(expires[0])
		begin, otherErr := http.ParseTime(date[0])
		if err == nil && otherErr == nil && end.After(begin) {
			return ", max-age=" + strconv.FormatInt(int64(end.Sub(begin).Seconds()), 10)
		}
	}
	return ", max-age=0" // what cannot be read is in the past (section 5.3)
}

// SharedCacheHeaders returns those in use of the headers that tell a kind of shared cache another
// thing than Cache-Control does, and outrank it there: nginx's, those of surrogates, of CDNs and of
// RFC 9213. What configures other proxies is compared with it.
func SharedCacheHeaders() []string {
	return []string{
		"X-Accel-Expires", "Surrogate-Control", "Edge-Control", "X-LiteSpeed-Cache", "X-Varnish-TTL",
		"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Vercel-CDN-Cache-Control", "Netlify-CDN-Cache-Control", "Akamai-Cache-Control", "X-LiteSpeed-Cache-Control",
	}
}

// FilterInformational removes from a response in front of the answer (1xx) what says who may keep or
// read an answer, and what Keyward itself says.
func FilterInformational(header http.Header) {
	for name := range header {
		if isResponsesOwn(name) {
			delete(header, name)
		}
	}
}

// FilterTrailers removes the same from the trailers of an answer, and what may trail in no message.
func FilterTrailers(trailer http.Header) {
	for name := range trailer {
		if isResponsesOwn(name) || !MayTrail(name) {
			delete(trailer, name)
		}
	}
}

// isAnswers tells a field that is for the headers of an answer only.
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

// isForSharedCaches knows them, and all others that end as RFC 9213 wants it.
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

const anyCacheControl = "-cache-control" // of CDNs, of one of them, and so on

var forSharedCaches = [...]string{"x-accel-expires", "surrogate-control", "edge-control", "x-litespeed-cache", "x-varnish-ttl"}
