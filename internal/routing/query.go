package routing

import (
	"net/url"
	"slices"
	"strings"
)

// maxQuery is how many bytes of a query are compared with routes. A longer query is in doubt for
// every route that has a query, and is ignored by the others.
const maxQuery = 8 << 10

// queryPattern demands a parameter and allows its values.
type queryPattern struct {
	name   string
	folded string // see foldName
	root   string // what precedes the brackets of a name that has them, folded; or else ""
	values []string

	numeric, cased bool // of a listed value: see isDecimal and hasCase
}

// outcome is the result of comparing a query.
type outcome uint8

const (
	differs outcome = iota
	matches
	respelled // a value that is not listed, and that some readers take for one that is
	doubtful  // it matches as some readers interpret the query, and does not match as others do
)

func newQueryPattern(name string, values []string) queryPattern {
	p := queryPattern{name: name, folded: foldName(name), values: slices.Clone(values)}
	if root, _, list := strings.Cut(name, "["); list {
		p.root = foldName(root)
	}
	p.numeric, p.cased = slices.ContainsFunc(values, isDecimal), slices.ContainsFunc(values, hasCase)
	return p
}

// CheckQuery reports whether a query has only bytes that are valid in a query. Others, such as spaces,
// '#' and bytes beyond ASCII, end the query for some readers, or begin another line of HTTP.
func CheckQuery(raw string) bool {
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// matchQuery requires that every parameter matches as every reader interprets the query.
func (m *Matcher) matchQuery(request *Request) outcome {
	result := matches
	for i := range m.query {
		request.spend(queryWork + len(request.RawQuery)/bytesSearched)
		if request.Exhausted() {
			return differs
		}
		switch found := m.query[i].match(request); found {
		case differs:
			return differs
		case respelled, doubtful:
			result = max(result, found)
		}
	}
	return result
}

// match returns doubtful where servers interpret a query differently: where a parameter has several values
// of which only some are allowed, or one that some take for an allowed one, or has a name that only some take for this one, or where
// there is also a ';', which some take for a '&', or an invalid escape.
func (p *queryPattern) match(request *Request) outcome {
	raw := request.RawQuery
	if len(raw) > maxQuery {
		return doubtful
	}
	separators, broken := "&", false
	if strings.IndexByte(raw, ';') >= 0 {
		separators = "&;"
		broken = true
	}
	var allowed, others, doubt, respelt bool
	for raw != "" {
		var pair string
		if end := indexAny(raw, separators); end >= 0 {
			pair, raw = raw[:end], raw[end+1:]
		} else {
			pair, raw = raw, ""
		}
		name, value, _ := strings.Cut(pair, "=")
		request.spend(pairWork)
		called := p.compare(name, request)
		if request.Exhausted() {
			return differs
		}
		if called == differs && isPlain(value) {
			continue
		}
		request.spend(valueWork + len(value))
		text, ok := unescape(value)
		switch {
		case !ok:
			broken = true
			others = others || called != differs
		case called == differs:
		case called == doubtful:
			doubt = true
		case p.allows(text, request):
			allowed = true
		default:
			others = true
			doubt = doubt || p.allows(foldValue(text), request)
			respelt = respelt || doubt || p.respells(text, request)
		}
	}
	switch {
	case doubt, allowed && (others || broken), others && broken:
		return doubtful
	case respelt:
		return respelled
	case allowed:
		return matches
	default:
		return differs
	}
}

// indexAny is strings.IndexAny that is faster where there is only one separator.
func indexAny(s, separators string) int {
	if len(separators) == 1 {
		return strings.IndexByte(s, separators[0])
	}
	return strings.IndexAny(s, separators)
}

func (p *queryPattern) allows(value string, request *Request) bool {
	request.spend(len(p.values) / methodWork)
	return slices.Contains(p.values, value)
}

// compare returns whether a name, as sent, is that of the parameter, or whether some readers may take it for that.
func (p *queryPattern) compare(name string, request *Request) outcome {
	if isPlain(name) {
		switch {
		case name == p.name:
			return matches
		case equalFolded(name, p.folded), p.root != "" && equalFolded(name, p.root):
			return doubtful
		default:
			return differs
		}
	}
	request.spend(len(name) * decodingWork)
	if request.Exhausted() {
		return differs
	}
	decoded, ok := unescape(name)
	if ok && decoded == p.name {
		return matches
	}
	if p.mayBe(name, request) {
		return doubtful
	}
	return differs
}

// isPlain reports whether every reader takes a text as it is. Brackets and dots are not plain.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// equalFolded compares a plain text with one that is folded.
func equalFolded(plain, folded string) bool {
	if len(plain) != len(folded) {
		return false
	}
	for i := range len(plain) {
		c := plain[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != folded[i] {
			return false
		}
	}
	return true
}

// unescape decodes application/x-www-form-urlencoded.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	decoded, err := url.QueryUnescape(s)
	return decoded, err == nil
}
