package routing

import (
	"net/url"
	"slices"
	"strings"
)

// queryPattern demands a parameter and allows its values.
type queryPattern struct {
	name   string
	values []string
}

// matchQuery fails closed where servers read a query differently: a repeated parameter
// must be allowed in each of its values, and a ';', which some take for a '&', or an
// invalid escape matches no route with a query part.
func (m *Matcher) matchQuery(raw string) bool {
	if len(m.query) == 0 {
		return true
	}
	if strings.IndexByte(raw, ';') >= 0 {
		return false
	}
	for i := range m.query {
		if !m.query[i].match(raw) {
			return false
		}
	}
	return true
}

func (p *queryPattern) match(raw string) bool {
	present := false
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, ok := unescape(name)
		if !ok {
			return false
		}
		value, ok = unescape(value)
		if !ok {
			return false
		}
		if name != p.name {
			continue
		}
		if !slices.Contains(p.values, value) {
			return false
		}
		present = true
	}
	return present
}

// unescape decodes application/x-www-form-urlencoded.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	decoded, err := url.QueryUnescape(s)
	return decoded, err == nil
}
