package routing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const sharpS = "\u00df" // to which foldRune folds the capital one

// foldCase brings a text into a form that is the same for texts that differ in case only, by
// the simple case folding of Unicode, in which a character stays one character, but for the sharp s.
// It returns the text as it is where there is nothing to fold.
func foldCase(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return s[:i] + strings.ReplaceAll(strings.Map(foldRune, s[i:]), sharpS, "ss")
		}
	}
	return s
}

// foldRune returns one character for all that differ in case only: of those that include a
// letter of ASCII that one, in lower case, of others the first.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if r = foldWide(r); r < utf8.RuneSelf {
		return r
	}
	first := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		first = min(first, other)
	}
	if first < utf8.RuneSelf && first != r {
		return foldRune(first)
	}
	return first
}
