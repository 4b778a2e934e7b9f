package httpwire

import (
	"crypto/rand"
	"strings"

	"github.com/keyward-dev/keyward/api/keyformat"
)

// HeaderRequestID names a request, for logs of everybody on its way.
const HeaderRequestID = "X-Request-Id"

const maxRequestID = 128

// RequestID returns the id in the lines of an X-Request-Id header, or a new one where there
// is none that is safe to repeat: 1 to 128 characters of a token (RFC 9110, section 5.6.2),
// on one line, which are not by mistake a key.
func RequestID(lines ...string) string {
	if len(lines) == 1 && len(lines[0]) <= maxRequestID && IsToken(lines[0]) && !keyformat.WellFormed(lines[0]) {
		return lines[0]
	}
	return strings.ToLower(rand.Text())
}

// IsToken tells a token from other text.
func IsToken(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return text != ""
}
