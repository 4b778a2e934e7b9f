package httpapi

import (
	"net/http"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Preview returns what the holder of the key in a header recognizes it by, or "" if it is not of Keyward's own form. It is for
// requests that are allowed.
func Preview(header http.Header) string {
	authorization, _ := single(header[HeaderAuthorization])
	text, ours := fromAuthorization(authorization)
	if !ours {
		text, _ = single(header[HeaderAPIKey])
	}
	key, err := keyformat.Parse(text)
	if err != nil {
		return ""
	}
	return key.Preview()
}
