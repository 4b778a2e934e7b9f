package httpapi

import (
	"crypto/rand"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// HeaderRequestID identifies a request in the logs of everybody on its way.
const HeaderRequestID = "X-Request-Id"

const maxRequestID = 128

// RequestID returns the id in the lines of an X-Request-Id header, or a new one if there is none that is safe to
// repeat: 1 to 128 characters of a token (RFC 9110, section 5.6.2), on one line, that are not accidentally a key.
func RequestID(lines ...string) string {
	if len(lines) == 1 && len(lines[0]) <= maxRequestID && IsToken(lines[0]) && !keyformat.WellFormed(lines[0]) {
		return lines[0]
	}
	return strings.ToLower(rand.Text())
}

// IsToken reports whether a text is a token.
func IsToken[T string | []byte](text T) bool {
	for i := range len(text) {
		if !isTokenByte[text[i]] {
			return false
		}
	}
	return len(text) > 0
}

var isTokenByte = func() (is [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		is[c] = true
	}
	return is
}()
