package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// OwnNames returns the names, sorted, of the headers that carry the key, unless upstreams may see it, and of those that only
// Keyward may set, except those that are set. It is for proxies that remove all others themselves.
func (s *Stripping) OwnNames(header http.Header, from Sender, set []Header) []string {
	var names []string
	for name := range header {
		if !IsReserved(name) && (s.KeepCredential || !IsUsual(name) || !s.carriesKey(name, from)) {
			continue
		}
		if !slices.ContainsFunc(set, func(h Header) bool { return strings.EqualFold(h.Name, name) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
