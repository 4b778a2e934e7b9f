package reverseproxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// target is the target of a request as it was sent. What net/url makes of a path is not always
// the same one: in "/a%2Bb|" it decodes the plus, because of the other character.
type target struct {
	path, rawQuery string
	emptyQuery     bool // there is a '?' with nothing behind it
}

func targetOf(r *http.Request) (t target) {
	if r.ProtoMajor > 1 { // in which there is no absolute form (RFC 9113, section 8.3.1)
		t.path, t.rawQuery = httpapi.SplitTarget(r.RequestURI)
	} else {
		_, t.path, t.rawQuery = httpapi.Target(r.RequestURI)
	}
	t.emptyQuery = t.rawQuery == "" && strings.HasSuffix(r.RequestURI, "?")
	return t
}

// upstreamURL is made of what was decided on, and of nothing else. net/http sends what is opaque
// as it is.
func (h *handler) upstreamURL(t target) *url.URL {
	u := h.target
	u.Opaque, u.RawQuery, u.ForceQuery = escape(t.path, &rawInPath), escape(t.rawQuery, &rawInQuery), t.emptyQuery
	return &u
}

// Bytes that may stand in a request line as they are: those of RFC 3986, sections 3.3 and 3.4,
// with the '%' of what is escaped already, and others that clients do not escape and servers
// accept. A query has more of the latter: nobody decodes it as a whole.
var (
	rawInPath  = bytesOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + "!$&'()*+,;=" + ":@/%" + "[]")
	rawInQuery = func() (raw [256]bool) {
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

// escape percent-encodes the bytes that may not be raw, each on its own, and leaves all others
// alone: whoever decodes the result once has the same as whoever decodes the text once.
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
