package routing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file covers the characters beyond ASCII that some servers convert to ASCII: Windows where it
// converts names to an older code page, others where they normalize to NFKC (Unicode Standard Annex
// 15), and those that ignore case by more than the simple folding of Unicode. A test checks all
// characters.

const (
	// dotsAlike become dots and nothing else; dotsBehind become texts that end in a dot.
	dotsAlike  = "\u2024\u2025\u2026\ufe19\ufe30\ufe52\uff0e"
	dotsBehind = "\u2488\u2489\u248a\u248b\u248c\u248d\u248e\u248f\u2490\u2491\u2492\u2493\u2494\u2495\u2496\u2497\u2498\u2499\u249a\u249b\u33c2\u33c7\u33d8\U0001f100"

	semicolons = ";\u037e\ufe14\ufe54\uff1b"
	colons     = ":\ufe13\ufe55\uff1a"
	dollars    = "$\ufe69\uff04"
)

// checkWide checks what is not ASCII.
func (r Reading) checkWide(path string) error {
	if !utf8.ValidString(path) {
		return errUTF8
	}
	var last rune
	for _, c := range path {
		if err := r.checkCharacter(c); err != nil {
			return err
		}
		if strings.ContainsRune(dollars, c) && strings.ContainsRune(colons, last) {
			return errStream
		}
		last = c
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" {
			continue // after a slash at the end
		}
		if err := r.checkWideSegment(segment); err != nil {
			return err
		}
	}
	return nil
}

func (r Reading) checkCharacter(c rune) error {
	switch c {
	case 0x2028, 0x2029:
		return errControl
	case 0x2044, 0x2100, 0x2101, 0x2105, 0x2106, 0x2215, 0x2216, 0xfe68, 0xff0f, 0xff3c: // slashes, and "a/c"
		return errSlash
	case 0xfe6a, 0xff05, 0x2047, 0x2048, 0x2049, 0xfe16, 0xfe56, 0xff1f, 0xfe5f, 0xff03: // '%', '?', '#'
		return errAlike
	case 0x37e, 0xfe14, 0xfe54, 0xff1b: // ';'
		if !r.Parameters {
			return errParameter
		}
	}
	if c >= utf8.RuneSelf && c < 0xa0 {
		return errControl
	}
	return nil
}

func (r Reading) checkWideSegment(segment string) error {
	name := segment
	if end := strings.IndexAny(segment, semicolons); end >= 0 {
		name = segment[:end]
	}
	last, _ := utf8.DecodeLastRuneInString(segment)
	switch {
	case strings.Trim(name, "."+dotsAlike) == "":
		return errDotSegment
	case !r.Parameters && last >= utf8.RuneSelf && (unicode.IsSpace(last) || strings.ContainsRune(dotsAlike+dotsBehind, last)):
		return errTrailing
	default:
		return nil
	}
}

// hasLetterAlike reports whether a path has a character that foldCase does not fold to letters of ASCII, although
// some servers that ignore case take it for such.
func hasLetterAlike(path string) bool {
	for _, c := range path {
		if c >= utf8.RuneSelf && unicode.Is(lettersAlike, c) {
			return true
		}
	}
	return false
}

// foldWide folds characters that some servers take for letters of ASCII, although they do not differ from these only in
// case: the letters i of Turkish, and fullwidth ones.
func foldWide(r rune) rune {
	const fullwidth = 0xff21 - 'A'
	switch {
	case r == 0x130, r == 0x131:
		return 'i'
	case r >= 0xff21 && r <= 0xff3a:
		return r - fullwidth + 'a' - 'A'
	case r >= 0xff41 && r <= 0xff5a:
		return r - fullwidth
	default:
		return r
	}
}

// lettersAlike are characters that some servers expand to more than one letter, and those of mathematics, phonetics and
// symbols.
var lettersAlike = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0xaa, 0xaa, 1}, {0xba, 0xba, 1}, {0x132, 0x133, 1}, {0x1c7, 0x1cc, 1}, {0x1f1, 0x1f3, 1}, {0x2b0, 0x2b0, 1},
		{0x2b2, 0x2b3, 1}, {0x2b7, 0x2b8, 1}, {0x2e1, 0x2e3, 1}, {0x1d2c, 0x1d2c, 1}, {0x1d2e, 0x1d2e, 1}, {0x1d30, 0x1d31, 1},
		{0x1d33, 0x1d3a, 1}, {0x1d3c, 0x1d3c, 1}, {0x1d3e, 0x1d43, 1}, {0x1d47, 0x1d49, 1}, {0x1d4d, 0x1d4d, 1}, {0x1d4f, 0x1d50, 1},
		{0x1d52, 0x1d52, 1}, {0x1d56, 0x1d58, 1}, {0x1d5b, 0x1d5b, 1}, {0x1d62, 0x1d65, 1}, {0x1d9c, 0x1d9c, 1}, {0x1da0, 0x1da0, 1},
		{0x1dbb, 0x1dbb, 1}, {0x2071, 0x2071, 1}, {0x207f, 0x207f, 1}, {0x2090, 0x2093, 1}, {0x2095, 0x209c, 1}, {0x20a8, 0x20a8, 1},
		{0x2100, 0x2102, 1}, {0x2105, 0x2106, 1}, {0x210a, 0x210e, 1}, {0x2110, 0x2113, 1}, {0x2115, 0x2116, 1}, {0x2119, 0x211d, 1},
		{0x2120, 0x2122, 1}, {0x2124, 0x2124, 1}, {0x2128, 0x2128, 1}, {0x212c, 0x212d, 1}, {0x212f, 0x2131, 1}, {0x2133, 0x2134, 1},
		{0x2139, 0x2139, 1}, {0x213b, 0x213b, 1}, {0x2145, 0x2149, 1}, {0x2160, 0x217f, 1}, {0x249c, 0x24e9, 1}, {0x2c7c, 0x2c7d, 1},
		{0x3250, 0x3250, 1}, {0x32cc, 0x32cf, 1}, {0x3371, 0x337a, 1}, {0x3380, 0x3381, 1}, {0x3383, 0x338b, 1}, {0x338e, 0x3394, 1},
		{0x3396, 0x339a, 1}, {0x339c, 0x33a6, 1}, {0x33a9, 0x33ad, 1}, {0x33b0, 0x33b1, 1}, {0x33b3, 0x33b5, 1}, {0x33b7, 0x33bb, 1},
		{0x33bd, 0x33bf, 1}, {0x33c2, 0x33c5, 1}, {0x33c7, 0x33dd, 1}, {0x33ff, 0x33ff, 1}, {0xa7f2, 0xa7f4, 1}, {0xfb00, 0xfb06, 1},
	},
	R32: []unicode.Range32{
		{0x107a5, 0x107a5, 1}, {0x1d400, 0x1d6a5, 1}, {0x1f110, 0x1f129, 1}, {0x1f12b, 0x1f12e, 1},
		{0x1f130, 0x1f14f, 1}, {0x1f16a, 0x1f16c, 1},
		{0x1f190, 0x1f190, 1},
	},
	LatinOffset: 2,
}
