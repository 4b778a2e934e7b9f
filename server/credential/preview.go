package credential

import (
	"net/http"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Preview returns what the holder of the key in a header recognizes it by, or "" if it is not of Keyward's own form. It is for
// requests that are allowed.
func (l *Locations) Preview(header http.Header) string {
	authorization, _ := single(header[HeaderAuthorization])
	text, _ := l.fromAuthorization(authorization)
	for _, name := range append([]string{HeaderAPIKey}, l.more()...) { // an Authorization beside them is not the key, or the same
		if placed, _ := single(header[name]); placed != "" {
			text = placed
		}
	}
	if p := readProtocols(header[HeaderWebSocketProtocol]); p.keys == 1 {
		text = p.key
	}
	key, err := keyformat.Parse(text)
	if err != nil {
		return ""
	}
	return key.Preview()
}
