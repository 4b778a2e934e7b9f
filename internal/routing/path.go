package routing

import (
	"errors"
	"fmt"
	"strings"
)

// pathPattern is a compiled path pattern. Literals are in canonical form, so they compare
// byte by byte with the result of CanonicalPath.
type pathPattern struct {
	exact   spelling
	folded  *spelling // used where case is ignored; nil where it is the same
	subtree bool      // '/**' at the end
	rank    int

	// alias marks a pattern that was derived from a declared one, for another form of the path: it determines
	// who owns a path, and grants nothing.
	alias bool
}

// spelling is the parsed text of a pattern, without '/**'.
type spelling struct {
	text string

	// prefix is what precedes the first '*', or the whole where there is none.
	prefix string
	// segments start with the first one that has a '*', and at is where that one begins.
	segments []segment
	at       int
}

// segment is split at its stars: it is one piece where there are none.
type segment struct {
	pieces []string
	least  int  // bytes of all pieces together
	any    bool // it is "*", which matches any segment that is not empty
}

const subtreeSuffix = "/**"

// compilePath returns the patterns of a text: its own, and aliases for the forms that content
// servers tend to treat alike: for a path that ends in a slash the form without it, and for a file the paths
// below it, which are the PATH_INFO of a script. Aliases rank below every pattern that has
// exactly that path.
func compilePath(pattern string) ([]pathPattern, error) {
	base, subtree := strings.CutSuffix(pattern, subtreeSuffix)
	if err := checkPathPattern(pattern, base); err != nil {
		return nil, err
	}
	exact, folded := spellBoth(base)
	patterns := []pathPattern{{exact: exact, folded: folded, subtree: subtree, rank: pathRank(base, subtree)}}
	bare, slash := strings.CutSuffix(base, "/")
	file := isFile(bare)
	if subtree || bare == "" || !slash && !file {
		return patterns, nil
	}
	if slash {
		exact, folded = spellBoth(bare)
	}
	return append(patterns, pathPattern{exact: exact, folded: folded, subtree: file, rank: pathRank(bare, true) - 1, alias: true}), nil
}

// isFile reports whether the last segment looks like the name of a file, with a '.' and something
// after it.
func isFile(base string) bool {
	dot := strings.IndexByte(base[strings.LastIndexByte(base, '/')+1:], '.')
	return dot >= 0 && !strings.HasSuffix(base, ".")
}

// pathRank orders path patterns by the number of literal characters; of patterns with
// the same number, one without wildcards ranks higher. It is never 0, which is the rank of a route
// without paths.
func pathRank(base string, subtree bool) int {
	stars := strings.Count(base, "*")
	rank := 1 + 2*(len(base)-stars)
	if stars == 0 && !subtree {
		rank++
	}
	return rank
}

func checkPathPattern(pattern, base string) error {
	switch {
	case !strings.HasPrefix(pattern, "/"):
		return errors.New("a path starts with '/'")
	case strings.Contains(base, "**"):
		return errors.New("'**' is only allowed as the whole last segment, as in /api/**; within a segment write one '*'")
	case strings.ContainsAny(base, "?#"):
		return errors.New("leave out what follows '?' or '#'; parameters go into query")
	}
	if base == "" {
		return nil
	}
	_, err := Reading{Parameters: true}.check(base, false) // as permissive as any validation server can be configured
	switch {
	case errors.Is(err, errDouble):
		return errors.New("write characters as they are, not percent-encoded: requests are decoded before they are compared")
	case err != nil:
		return fmt.Errorf("no request could match it: %w", err)
	}
	return nil
}

// spellBoth returns the pattern as it is written, and folded where that is different.
func spellBoth(base string) (exact spelling, folded *spelling) {
	if lower := foldCase(base); lower != base {
		other := spell(lower)
		folded = &other
	}
	return spell(base), folded
}

func spell(base string) spelling {
	star := strings.IndexByte(base, '*')
	if star < 0 {
		return spelling{text: base, prefix: base}
	}
	s := spelling{text: base, prefix: base[:star]}
	s.at = strings.LastIndexByte(s.prefix, '/') // a pattern begins with a slash
	s.segments = make([]segment, 0, 1+strings.Count(base[s.at+1:], "/"))
	for text := range strings.SplitSeq(base[s.at+1:], "/") {
		if text == "*" {
			s.segments = append(s.segments, segment{any: true})
			continue
		}
		s.segments = append(s.segments, segment{pieces: strings.Split(text, "*"), least: len(text) - strings.Count(text, "*")})
	}
	return s
}

// of returns the spelling to compare the request's path with.
func (p *pathPattern) of(request *Request) *spelling {
	if request.IgnoreCase && p.folded != nil {
		return p.folded
	}
	return &p.exact
}

// match reports whether the pattern matches the whole path of the request. The owner of a path
// also owns it with a slash at the end, since many content servers treat the two alike.
func (p *pathPattern) match(request *Request, owning bool) bool {
	rest, ok := p.of(request).cut(request)
	switch {
	case !ok:
		return false
	case rest == "":
		return true
	case p.subtree:
		return rest[0] == '/'
	default:
		return owning && rest == "/"
	}
}

// cut returns the rest of the request's path after what the pattern matches. It examines
// no part of the path twice, so the work is that of reading path and pattern once.
func (s *spelling) cut(request *Request) (rest string, ok bool) {
	request.spend(patternWork + len(s.prefix)/bytesCompared)
	path := request.Path
	if !strings.HasPrefix(path, s.prefix) {
		return "", false
	}
	if s.segments == nil {
		return path[len(s.prefix):], true
	}
	request.spend(piecesWork)
	path = path[s.at:]
	for i := range s.segments {
		if path == "" || path[0] != '/' {
			return "", false
		}
		end := strings.IndexByte(path[1:], '/') + 1
		if end == 0 {
			end = len(path)
		}
		request.spend(segmentWork + end/bytesCompared)
		if !s.segments[i].match(path[1:end], request) {
			return "", false
		}
		path = path[end:]
	}
	return path, true
}

// match finds each piece at its first occurrence: then what precedes it is as short, and
// what remains is as long, as possible. Only the last piece has a fixed position, at the end.
func (g *segment) match(s string, request *Request) bool {
	if g.any {
		return s != ""
	}
	last := len(g.pieces) - 1
	if last == 0 {
		return s == g.pieces[0]
	}
	if len(s) < g.least || !strings.HasPrefix(s, g.pieces[0]) || !strings.HasSuffix(s, g.pieces[last]) {
		return false
	}
	s = s[len(g.pieces[0]) : len(s)-len(g.pieces[last])]
	for _, piece := range g.pieces[1:last] {
		at := strings.Index(s, piece)
		if at < 0 {
			request.spend(searchWork(len(s), len(piece)))
			return false
		}
		s = s[at+len(piece):]
		request.spend(searchWork(at, len(piece)))
	}
	return true
}
