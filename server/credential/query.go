package credential

import (
	"net/url"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/decision"
)

// parameterWork bounds the work of looking for the parameters in one query, in the units of package routing: less than a
// millisecond. Names of letters and digits cost nothing.
const parameterWork = 1 << 17

// cutQuery is a query without the parameters of keys and of tokens.
type cutQuery struct {
	rest    string
	token   string // of a signed URL
	tokens  int    // how many there are
	present bool   // there was such a parameter with a value
	text    string
	whole   bool // there was one value, and it can be decoded
	doubt   decision.Code
}

// cut removes the parameters of keys and of tokens of signed URLs, each with one '&', and leaves all other bytes of the query as
// they are.
func (l *Locations) cut(path, rawQuery string) cutQuery {
	q := cutQuery{whole: true}
	q.token, q.rest, q.tokens = urltoken.Cut(rawQuery)
	if l.InURL() {
		l.cutKeys(path, &q)
	}
	if q.rest != rawQuery && repeats(path, rawQuery, q.text) {
		q.doubt = decision.PathAmbiguous
	}
	return q
}

// cutKeys removes the parameters of keys. Readers have to agree on what is the parameter. So a name that only some of them take
// for it (see package routing), a ';' beside it, which some take for '&', and a parameter of that name in the path are in doubt.
// For tokens that does not matter: only a client that writes the name in another way sends one so, and is not allowed for it.
func (l *Locations) cutKeys(path string, q *cutQuery) {
	var work routing.Request
	work.Bound(parameterWork)
	if l.inPath(path, &work) {
		q.doubt = decision.PathAmbiguous
	}
	kept, segments := make([]string, 0, usualParameters), 0
	for segment := range strings.SplitSeq(q.rest, "&") {
		segments++
		name, value, _ := strings.Cut(segment, "=")
		switch l.compare(segment, name, &work) {
		case routing.Same:
			q.read(value)
		case routing.MayBe:
			if q.doubt == decision.Allowed {
				q.doubt = decision.QueryAmbiguous
			}
			fallthrough
		default:
			kept = append(kept, segment)
		}
	}
	if len(kept) < segments {
		q.rest = strings.Join(kept, "&")
	}
}

const usualParameters = 8

func (q *cutQuery) read(value string) {
	if value == "" {
		return
	}
	text, err := url.QueryUnescape(value)
	q.whole = q.whole && !q.present && err == nil
	q.present, q.text = true, text
}

// compare compares a parameter with those of keys.
func (l *Locations) compare(segment, name string, work *routing.Request) routing.Likeness {
	if strings.IndexByte(segment, ';') >= 0 {
		for part := range strings.SplitSeq(segment, ";") {
			if name, _, _ = strings.Cut(part, "="); l.likeness(name, work) != routing.Another {
				return routing.MayBe
			}
		}
		return routing.Another
	}
	return l.likeness(name, work)
}

func (l *Locations) likeness(name string, work *routing.Request) routing.Likeness {
	found := routing.Another
	for i := range l.parameters {
		switch l.parameters[i].Compare(name, work) {
		case routing.Same:
			return routing.Same
		case routing.MayBe:
			found = routing.MayBe
		}
	}
	return found
}

// inPath reports whether a segment of the path has a parameter (/a;b=c) with the name of one of keys. Paths with a ';' are
// refused unless content servers are said to read it literally, and this one may be read as what it looks like.
func (l *Locations) inPath(path string, work *routing.Request) bool {
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	if strings.IndexByte(path, ';') < 0 {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		_, parameters, _ := strings.Cut(segment, ";")
		for part := range strings.SplitSeq(parameters, ";") {
			if name, _, _ := strings.Cut(part, "="); name != "" && l.likeness(name, work) != routing.Another {
				return true
			}
		}
	}
	return false
}

// repeats reports whether the path has the text of the key, or of the whole query. A path with the key would end up where
// the key is removed from in vain; and a gateway that can only replace text, such as Caddy, would replace it in the path, too.
func repeats(path, rawQuery, key string) bool {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return true // it is refused in any case
	}
	for _, p := range []string{path, decoded} {
		if strings.Contains(p, rawQuery) || len(key) >= keyformat.MinImport && strings.Contains(p, key) {
			return true
		}
	}
	return false
}

// CutReferer returns a Referer, a URL, without the parameters of keys and of tokens. It removes the query where readers may read
// it in two ways. Who sends it is not asked: a page whose URL has one sends that to the same host with each image.
func (l *Locations) CutReferer(referer string) string {
	if !l.InURL() && !strings.Contains(referer, urltoken.Parameter) {
		return referer
	}
	before, rest, ok := strings.Cut(referer, "?")
	rawQuery, fragment, hasFragment := strings.Cut(rest, "#")
	q := l.cut(pathOf(before), rawQuery)
	switch {
	case q.doubt == decision.PathAmbiguous:
		return originOf(before)
	case q.doubt != decision.Allowed:
		return before
	case !ok || q.rest == rawQuery:
		return referer
	}
	if q.rest != "" {
		before += "?" + q.rest
	}
	if hasFragment {
		before += "#" + fragment
	}
	return before
}

func pathOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

func originOf(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + "/"
}
