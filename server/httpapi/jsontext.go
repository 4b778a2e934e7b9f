package httpapi

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrText is for JSON with text that readers understand differently.
var ErrText = errors.New(`the body must be UTF-8, without half of a surrogate pair (\ud800 to \udfff alone); ` +
	`write other bytes of a path as the client sent them, such as %ff`)

// CheckJSONText refuses JSON that encoding/json would change: it reads bytes that are not UTF-8, and halves of surrogate pairs, as
// U+FFFD, so that the decision would be about another path than that of the request (RFC 8259, sections 8.1 and 8.2). What is not
// JSON at all is for the decoder to refuse.
func CheckJSONText(body []byte) error {
	if !utf8.Valid(body) {
		return ErrText
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++ // what is escaped, such as another backslash
		first, ok := escaped(body, i)
		if !ok {
			continue
		}
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		second, ok := rune(0), i+1 < len(body) && body[i+1] == '\\'
		if ok {
			second, ok = escaped(body, i+2)
		}
		if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
			return ErrText
		}
		i += 6
	}
	return nil
}

// escaped returns what an escape is, whose u and four digits begin at an index.
func escaped(body []byte, at int) (rune, bool) {
	const length = len("uXXXX")
	if at+length > len(body) || body[at] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(body[at+1:at+length]), 16, 16)
	return rune(n), err == nil
}
