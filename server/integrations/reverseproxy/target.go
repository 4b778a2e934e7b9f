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
	u.Opaque, u.RawQuery, u.ForceQuery = escape(t.path, &literalInPath), escape(t.rawQuery, &literalInQuery), t.emptyQuery
	return &u
}

// Bytes that may be literal in a request line: those of RFC 3986, sections 3.3 and 3.4, with the '%' of existing
// escapes, and others that clients do not escape and servers accept. A query has more of the latter, since nobody
// decodes it as a whole.
var (
	literalInPath  = bytesOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + "!$&'()*+,;=" + ":@/%" + "[]")
	literalInQuery = func() (raw [256]bool) {
		for c := byte('!'); c <= '~'; c++ {
			raw[c] = c != '#'
		}
		return raw
	}()
)

func bytesOf(text string) (raw [256]bool) {
	for _, c := range []byte(text) {
		raw[c] = true
	}
	return raw
}

// escape percent-encodes the bytes that may not be literal, each on its own, and keeps all others: decoding the result
// once gives the same as decoding the text once.
func escape(text string, raw *[256]bool) string {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if raw[text[i]] {
			continue
		}
		out := append(make([]byte, 0, len(text)+2*len(text[i:])), text[:i]...)
		for _, c := range []byte(text[i:]) {
			if raw[c] {
				out = append(out, c)
			} else {
				out = append(out, '%', digits[c>>4], digits[c&15])
			}
		}
		return string(out)
	}
	return text
}
