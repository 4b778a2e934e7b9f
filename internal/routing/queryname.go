package routing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file covers how readers of queries change the names of parameters:
//
//	PHP              drops white space in front, writes '_' for ' ', '.' and a lone '[', reads x[…] as x
//	Rack, Rails      reads x[…] and [x] as x
//	qs (Express)     reads x[…] as x, and x.… and .x where it allows dots
//	ASP.NET          compares without regard to case
//	servers in C     end a name at NUL
//	behind a proxy   decode a second time
//
// A name that any of them could take for the name of a parameter is in doubt.

// maxDecodings is how often a name may be decoded before a content server reads it.
const maxDecodings = 3

// foldName returns the form in which names are compared: it is the same for names that some readers do not distinguish.
func foldName(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '.' || c == '[' || unicode.IsSpace(c) {
			return '_'
		}
		return foldRune(c)
	}, name)
}

// mayBe reports whether some reader takes a name, as sent, for the name of the parameter.
func (p *queryPattern) mayBe(name string, request *Request) bool {
	name = strings.ReplaceAll(name, "+", " ")
	for range maxDecodings {
		decoded := decodeLeniently(name)
		if p.folds(decoded, request) {
			return true
		}
		if decoded == name {
			break
		}
		name = decoded
	}
	return false
}

// folds compares a decoded name, and what readers that decode first take for names in it: "amp;id", "x&id" and "id=x".
func (p *queryPattern) folds(name string, request *Request) bool {
	if p.foldsPart(name, request) {
		return true
	}
	if !strings.ContainsAny(name, "&;") {
		return false
	}
	for part := range strings.FieldsFuncSeq(name, func(c rune) bool { return c == '&' || c == ';' }) {
		if p.foldsPart(part, request) {
			return true
		}
	}
	return false
}

// foldsPart compares a name in the ways in which readers could fold it.
func (p *queryPattern) foldsPart(name string, request *Request) bool {
	name = strings.TrimLeftFunc(strings.ToValidUTF8(name, ""), isDropped)
	if end := strings.IndexAny(name, "\x00="); end >= 0 {
		name = name[:end]
	}
	if p.foldsTrimmed(name, request) {
		return true
	}
	bare := strings.TrimLeftFunc(name, func(c rune) bool { return c == '.' || isDropped(c) })
	return bare != name && p.foldsTrimmed(bare, request)
}

// isDropped reports whether some reader drops a character in front of a name. A dot is not one of them: to PHP it is a '_'.
func isDropped(c rune) bool {
	return unicode.IsSpace(c) || unicode.IsControl(c) || c == '+' || c == '?' || c == '[' || c == ']' || c == '\ufeff'
}

// foldsTrimmed compares a name without what is dropped in front of it.
func (p *queryPattern) foldsTrimmed(name string, request *Request) bool {
	if first, _ := utf8.DecodeRuneInString(name); first == utf8.RuneError || !strings.HasPrefix(p.folded, foldName(string(first))) {
		return false
	}
	request.spend(len(name) * comparingWork)
	if request.Exhausted() {
		return false
	}
	trimmed := strings.TrimRightFunc(name, isSpaceOrControl)
	if p.root != "" {
		bare := strings.TrimRightFunc(trimmed, func(c rune) bool { return c == '[' || c == ']' })
		return foldName(bare) == p.root || strings.HasPrefix(foldName(trimmed), p.folded)
	}
	for _, ends := range []string{"[]", "[]."} {
		if end := strings.IndexAny(trimmed, ends); end >= 0 &&
			foldName(strings.TrimRightFunc(trimmed[:end], isSpaceOrControl)) == p.folded {
			return true
		}
	}
	return foldName(trimmed) == p.folded || foldName(name) == p.folded
}

func isSpaceOrControl(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) || c == '+' }

// foldValue returns a value as some readers change it: they end it at NUL, and drop white space
// around it.
func foldValue(value string) string {
	value, _, _ = strings.Cut(value, "\x00")
	return strings.TrimFunc(value, isSpaceOrControl)
}

// decodeLeniently decodes the escapes that are valid, and leaves others as they are.
func decodeLeniently(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && startsEscape(s[i:]) {
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		decoded = append(decoded, c)
	}
	return string(decoded)
}
