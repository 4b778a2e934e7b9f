package reverseproxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// target is the target of a request as it was sent. net/url does not always keep a path: in "/a%2Bb|" it decodes the
// plus, because of the other character.
type target struct {
	path, rawQuery string
	emptyQuery     bool // there is a '?' with nothing behind it
}

func targetOf(r *http.Request) (t target) {
	if r.ProtoMajor > 1 { // which has no absolute form (RFC 9113, section 8.3.1)
		t.path, t.rawQuery = httpapi.SplitTarget(r.RequestURI)
	} else {
		_, t.path, t.rawQuery = httpapi.Target(r.RequestURI)
	}
	t.emptyQuery = t.rawQuery == "" && strings.HasSuffix(r.RequestURI, "?")
	return t
}

// upstreamURL contains exactly what was decided on. net/http sends an opaque URL unchanged.
func (h *handler) upstreamURL(t target) *url.URL {
	u := h.target
	u.Opaque, u.RawQuery, u.ForceQuery = httpapi.Escape(t.path, &literalInPath), httpapi.EscapeQuery(t.rawQuery), t.emptyQuery
	return &u
}

// literalInPath are the bytes that may be literal in the path of a request line: those of RFC 3986, section 3.3, with the '%' of
// existing escapes, and others that clients do not escape and servers accept.
var literalInPath = bytesOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + "!$&'()*+,;=" + ":@/%" + "[]")

func bytesOf(text string) (raw [256]bool) {
	for _, c := range []byte(text) {
		raw[c] = true
	}
	return raw
}
