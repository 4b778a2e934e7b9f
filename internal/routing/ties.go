package routing

import (
	"slices"
	"strings"
)

// Search looks for ties, with a bound on the work of all its calls together.
type Search struct{ left int }

// NewSearch returns a search that may examine this number of positions of patterns, which take some five
// nanoseconds each.
func NewSearch(positions int) *Search { return &Search{left: positions} }

// maxWork bounds the search for a single tie. Ordinary patterns need a hundredth of it.
const maxWork = 1 << 22

// comparisonWork is the work to fetch two routes.
const comparisonWork = 16

func (s *Search) spend(positions int) bool {
	s.left -= positions
	return s.left >= 0
}

// Exhausted reports whether the bound was reached, so that the last result is not exact.
func (s *Search) Exhausted() bool { return s.left < 0 }

// Ties is Search.Ties with a bound of its own.
func Ties(a, b *Matcher) bool { return NewSearch(maxWork).Ties(a, b) }

// Ties reports whether both routes match some request with equal rank, so that only
// the names of their projects decide between them.
//
// The parts of a request are independent of each other, so the routes tie if, for each part, there is
// a value with which they tie. The result is exact unless the bound is reached: then it is the safe
// one, true.
func (s *Search) Ties(a, b *Matcher) bool {
	work := comparisonWork + len(a.methods)*len(b.methods) + len(a.hosts)*(len(a.hosts)+len(b.hosts)) + len(a.paths)*len(b.paths)
	for i := range a.query {
		for j := range b.query {
			work += 1 + len(a.query[i].values)*len(b.query[j].values)
		}
	}
	if !s.spend(work) {
		return true
	}
	return methodsMeet(a, b) && queriesTie(a.query, b.query) && hostsTie(a, b) && s.pathsTie(a.paths, b.paths)
}

func methodsMeet(a, b *Matcher) bool {
	return len(a.methods) == 0 || len(b.methods) == 0 || slices.ContainsFunc(a.methods, func(method string) bool {
		return slices.Contains(b.methods, method)
	})
}

// queriesTie requires the same number of parameters, and a common value for those that both have.
func queriesTie(a, b []queryPattern) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		for j := range b {
			if a[i].name != b[j].name {
				continue
			}
			if !slices.ContainsFunc(a[i].values, func(value string) bool { return slices.Contains(b[j].values, value) }) {
				return false
			}
		}
	}
	return true
}

// hostsTie tries one host for each way in which two hosts can tie: an exact name, or, for a wildcard, a
// subdomain of its suffix that is different from every name in use.
func hostsTie(a, b *Matcher) bool {
	if len(a.hosts) == 0 || len(b.hosts) == 0 {
		return len(a.hosts) == len(b.hosts)
	}
	for _, pattern := range a.hosts {
		host := pattern.name
		if pattern.wildcard {
			host = unusedLabel(a.hosts, b.hosts) + pattern.name
		}
		rankA, okA := a.rankHost(&Request{Host: host})
		rankB, okB := b.rankHost(&Request{Host: host})
		if okA && okB && rankA == rankB {
			return true
		}
	}
	return false
}

// unusedLabel returns a label with which no pattern begins.
func unusedLabel(lists ...[]hostPattern) string {
	longest := 0
	for _, list := range lists {
		for _, pattern := range list {
			longest = max(longest, len(pattern.name))
		}
	}
	return strings.Repeat("x", longest+1)
}
