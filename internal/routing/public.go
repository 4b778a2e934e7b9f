package routing

import "net/http"

// PublicMethods are the methods with which a public path needs no key: those that are safe (RFC 9110, section 9.2.1).
func PublicMethods() []string { return []string{http.MethodGet, http.MethodHead, http.MethodOptions} }

// Public returns the route of a public path. Only Grants is to be asked of it: a public path is exactly what is written.
func Public(path string) Route { return Route{Methods: PublicMethods(), Paths: []string{path}} }

// NamesHost reports whether the route that matched names hosts.
func (r Rank) NamesHost() bool { return r.host > 0 }

// Hosts returns the hosts of the route in canonical form, a wildcard as the suffix with its dot in front. A route without hosts
// has none.
func (m *Matcher) Hosts() []string {
	names := make([]string, 0, len(m.hosts))
	for i := range m.hosts {
		names = append(names, m.hosts[i].name)
	}
	return names
}

// Wildcards calls found with the suffixes, with their dots in front, of the wildcards that match a canonical host.
func Wildcards(host string, found func(suffix string)) {
	for i := 1; i < len(host); i++ { // a wildcard matches nothing without a label in front of it
		if host[i] == '.' {
			found(host[i:])
		}
	}
}
