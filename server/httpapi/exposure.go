package httpapi

import (
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

const headerReferrerPolicy = "Referrer-Policy"

// ReferrerPolicy is for responses to requests whose URL had a key, if the content server has no policy of its own. Browsers
// would send that URL to the same host with each image of a page. Its origin, which they send instead, is what decisions need.
var ReferrerPolicy = Header{headerReferrerPolicy, "strict-origin"}

// HasReferrerPolicy reports whether a response has a policy of its own.
func HasReferrerPolicy(header http.Header) bool { return len(header[headerReferrerPolicy]) > 0 }

// Exposed is what has to be replaced in a request that is allowed, so that the upstream sees no key outside of the headers
// that Stripping removes.
type Exposed struct {
	// Target is set if the target of the request had a key or a token; it has none.
	Target string
	// Referers are set if the Referer had one.
	Referers []string
	// Pages are other headers with the URL of a page that had one.
	Pages []ExposedPage
	// Offer is about the subprotocols of WebSockets.
	Offer credential.Offer
}

// ExposedBy returns it for a request, whose query as sent is rawQuery.
func ExposedBy(keys *credential.Locations, header http.Header, request *decision.Request, rawQuery string) (e Exposed) {
	if request.RawQuery != rawQuery {
		e.Target = wireTarget(request.Path, request.RawQuery)
	}
	e.Referers = cutPages(keys, header[headerReferer])
	for _, name := range pageHeaders {
		if lines := cutPages(keys, header[name]); lines != nil {
			e.Pages = append(e.Pages, ExposedPage{Name: name, Lines: lines})
		}
	}
	e.Offer = credential.OfferOf(header)
	return e
}

// ExposedPage is what the lines of a header become.
type ExposedPage struct {
	Name  string // canonical
	Lines []string
}

// pageHeaders have the URL of the page that a request comes from, as a Referer has: browsers send the first for <a ping>, and the
// library htmx the second with each request.
var pageHeaders = []string{"Ping-From", "Hx-Current-Url"}

// cutPages returns the lines without keys and tokens, or nil if there are none in them.
func cutPages(keys *credential.Locations, lines []string) (replaced []string) {
	for i, line := range lines {
		cut := keys.CutReferer(line)
		if cut == line {
			continue
		}
		if replaced == nil {
			replaced = append(replaced, lines...)
		}
		replaced[i] = cut
	}
	return replaced
}

// wireTarget writes a target of which the path may have bytes that may be in no line of HTTP. No query that is allowed has any.
func wireTarget(path, rawQuery string) string {
	target := Escape(path, &visible)
	if rawQuery != "" {
		target += "?" + rawQuery
	}
	return target
}

// MayCarryKey reports whether a header of that name may be configured to carry keys: it must not have a meaning for anybody
// else.
func MayCarryKey(name string) bool {
	return MayTrail(name) && name != "Date" && name != "User-Agent" && !strings.HasPrefix(name, "Accept") && !strings.HasPrefix(name, "Trace")
}
