package httpapi

import (
	"crypto/rand"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/credential"
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
func IsToken[T string | []byte](text T) bool { return credential.IsToken(text) }
