package routing

import (
	"slices"
	"strings"
)

// pathsTie searches for a path whose best rank is the same on both sides. It runs all
// patterns of both, as one automaton, over the paths of a sufficient alphabet.
func (s *Search) pathsTie(a, b []pathPattern) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	if !mayTie(a, b) {
		return false
	}
	a, b = withSlashes(a), withSlashes(b)
	m := newAutomaton(slices.Concat(a, b))
	letters := alphabetOf(m.patterns)
	start := m.start()
	seen := map[string]bool{string(start): true}
	for queue := []state{start}; len(queue) > 0; queue = queue[1:] {
		if !s.spend(len(letters) * m.size) {
			return true
		}
		for _, letter := range letters {
			next := m.step(queue[0], letter)
			if rank := m.best(next, 0, len(a)); rank > 0 && rank == m.best(next, len(a), len(m.patterns)) {
				return true
			}
			if seen[string(next)] || !slices.Contains(next, here) {
				continue
			}
			seen[string(next)] = true
			queue = append(queue, next)
		}
	}
	return false
}

// mayTie reports whether there are two patterns of the same rank of which one begins like the
// other. Without such a pair there is no tie.
func mayTie(a, b []pathPattern) bool {
	for i := range a {
		for j := range b {
			one, other := a[i].exact.prefix, b[j].exact.prefix
			if a[i].rank == b[j].rank && (strings.HasPrefix(one, other) || strings.HasPrefix(other, one)) {
				return true
			}
		}
	}
	return false
}

// withSlashes adds the forms of patterns with a slash at the end, which belong to the same owner.
func withSlashes(patterns []pathPattern) []pathPattern {
	all := slices.Clone(patterns)
	for _, p := range patterns {
		if text := p.exact.text; !p.subtree && !p.alias && !strings.HasSuffix(text, "/") {
			all = append(all, pathPattern{exact: spelling{text: text + "/"}, rank: p.rank, alias: true})
		}
	}
	return all
}

// alphabetOf returns '/', the characters that occur in the patterns, and one that represents
// all others.
func alphabetOf(patterns []*compiled) []byte {
	var used [256]bool
	used['/'] = true
	for _, pattern := range patterns {
		for _, t := range pattern.tokens {
			used[t.letter] = used[t.letter] || t.kind == literal
		}
	}
	var letters []byte
	other := byte(0)
	for c := range used {
		if used[c] {
			letters = append(letters, byte(c))
		} else if other == 0 && c >= 'A' && c <= 'z' {
			other = byte(c)
		}
	}
	if other != 0 {
		letters = append(letters, other)
	}
	return letters
}

// automaton runs several path patterns in parallel. Each has one position before each of
// its tokens, one after the last token, where it matches, and one for paths inside its subtree.
type automaton struct {
	patterns []*compiled
	size     int // positions of all patterns
}

type compiled struct {
	tokens  []token
	first   int // of its positions
	rank    int
	subtree bool
}

type token struct {
	kind   tokenKind
	letter byte
}

type tokenKind byte

const (
	literal tokenKind = iota // this letter
	anyOne                   // one character that is not '/'
	anyRun                   // any number of characters that are not '/'
)

// state has a byte for each position; its value is here where the automaton may be.
type state []byte

const here = 1 // in a state: the automaton may be at this position

func newAutomaton(patterns []pathPattern) *automaton {
	m := &automaton{}
	for _, p := range patterns {
		c := &compiled{first: m.size, rank: p.rank, subtree: p.subtree}
		for i, segment := range strings.Split(p.exact.text, "/") {
			if i == 0 { // in front of the first slash
				continue
			}
			c.tokens = append(c.tokens, token{literal, '/'})
			if segment == "*" {
				c.tokens = append(c.tokens, token{kind: anyOne})
			}
			for _, letter := range []byte(segment) {
				if letter == '*' {
					c.tokens = append(c.tokens, token{kind: anyRun})
				} else {
					c.tokens = append(c.tokens, token{literal, letter})
				}
			}
		}
		m.patterns = append(m.patterns, c)
		m.size += len(c.tokens) + 2
	}
	return m
}

// matched returns the position of a pattern after its last token.
func (c *compiled) matched() int { return c.first + len(c.tokens) }

// inside returns the position of a pattern for paths within its subtree.
func (c *compiled) inside() int { return c.matched() + 1 }

// enter marks a position, and those after it that need no letter.
func (c *compiled) enter(s state, position int) {
	s[position] = here
	for position < c.matched() && c.tokens[position-c.first].kind == anyRun {
		position++
		s[position] = here
	}
}

func (m *automaton) start() state {
	s := make(state, m.size)
	for _, c := range m.patterns {
		c.enter(s, c.first)
	}
	return s
}

// step returns the state after one more letter.
func (m *automaton) step(from state, letter byte) state {
	to := make(state, m.size)
	for _, c := range m.patterns {
		for i, t := range c.tokens {
			if position := c.first + i; from[position] == here {
				switch {
				case t.kind == literal && t.letter == letter, t.kind == anyOne && letter != '/':
					c.enter(to, position+1)
				case t.kind == anyRun && letter != '/':
					c.enter(to, position)
				}
			}
		}
		if c.subtree && (from[c.matched()] == here && letter == '/' || from[c.inside()] == here) {
			to[c.inside()] = here
		}
	}
	return to
}

// best returns the highest rank of the patterns from up to to that match in the state, or 0.
func (m *automaton) best(s state, from, to int) int {
	best := 0
	for _, c := range m.patterns[from:to] {
		if s[c.matched()] == here || s[c.inside()] == here {
			best = max(best, c.rank)
		}
	}
	return best
}
