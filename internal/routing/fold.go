package routing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const sharpS = "\u00df" // foldRune folds the capital sharp s to it

// foldCase returns a form that is the same for texts that differ only in case, by
// the simple case folding of Unicode, in which one character stays one character, except for the sharp s.
// It returns the text as it is where there is nothing to fold.
func foldCase(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return s[:i] + strings.ReplaceAll(strings.Map(foldRune, s[i:]), sharpS, "ss")
		}
	}
	return s
}

// foldRune returns the same character for all characters that differ only in case: if a letter of ASCII is among
// them, that letter in lower case, and otherwise the first of them.
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
