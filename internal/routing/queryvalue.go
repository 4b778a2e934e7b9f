package routing

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file covers how readers of queries change the values of parameters:
//
//	PHP              reads 042, 42abc, 42.0 and 4.2e1 as the number 42
//	JavaScript       reads 042, 42.0, 4.2e1 and 0x2a as 42
//	Python, Java     read 042, 4_2 (Python) and digits of all scripts as 42
//	C                reads 052 as 42
//	databases        compare texts without regard to case
//	behind a proxy   decode a second time
//
// A value that any of them could take for one that is listed is in doubt, unless a route that is as specific lists it.
// Numbers in their usual form are different ones for all of them, unless they are too large for the reader.

// isDecimal reports whether a text is a number in its usual form.
func isDecimal(s string) bool {
	return isDigits(s) && (s[0] != '0' || len(s) == 1)
}

// mayBeNumber reports whether some reader takes a text for a number, or its beginning.
func mayBeNumber(s string) bool {
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9', c >= utf8.RuneSelf && c != utf8.RuneError && unicode.IsNumber(c), c == '.',
			strings.ContainsRune(dotsAlike, c):
			return true
		case unicode.IsSpace(c), unicode.IsControl(c), strings.ContainsRune(signs, c), unicode.Is(unicode.Cf, c), c == utf8.RuneError:
			// It may be skipped, as what is not UTF-8.
		default:
			return false
		}
	}
	return false
}

// signs are those of numbers, and characters that become signs in NFKC.
const signs = "+-\u2212\u207a\u207b\u208a\u208b\ufb29\ufe62\ufe63\uff0b\uff0d"

// hasCase reports whether a text may have letters.
func hasCase(s string) bool {
	for i := range len(s) {
		if isLetter(s[i]) || s[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// respells reports whether some reader takes a value, decoded once, for a listed one, although it is none.
func (p *queryPattern) respells(value string, request *Request) bool {
	for i := range maxDecodings {
		if i > 0 {
			decoded := decodeLeniently(value)
			if decoded == value {
				return false
			}
			value = decoded
		}
		request.spend(valueWork + len(value)*decodingWork)
		if request.Exhausted() {
			return false
		}
		folded := foldValue(value)
		if p.numeric && !isDecimal(folded) && mayBeNumber(value) {
			return true
		}
		if i > 0 && p.allows(folded, request) || p.cased && p.allowsFolded(folded, request) {
			return true
		}
		if strings.IndexByte(value, '%') < 0 {
			return false
		}
	}
	return false
}

// allowsFolded reports whether a value differs from a listed one at most in case.
func (p *queryPattern) allowsFolded(value string, request *Request) bool {
	for _, listed := range p.values {
		same, compared := sameFolded(listed, value)
		request.spend(foldedWork + compared)
		if request.Exhausted() {
			return false
		}
		if same {
			return true
		}
	}
	return false
}

// sameFolded compares characters as foldRune folds them, up to the first difference.
func sameFolded(a, b string) (same bool, work int) {
	for a != "" && b != "" {
		work++
		if c, other := a[0], b[0]; c|other < utf8.RuneSelf {
			if c != other && (c|0x20 != other|0x20 || !isLetter(c)) {
				return false, work
			}
			a, b = a[1:], b[1:]
			continue
		}
		c, size := utf8.DecodeRuneInString(a)
		other, otherSize := utf8.DecodeRuneInString(b)
		work += foldingWork
		if c != other && foldRune(c) != foldRune(other) {
			return false, work
		}
		a, b = a[size:], b[otherSize:]
	}
	return a == b, work // one is empty
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
