package session

import (
	"net/url"
	"path"
	"strings"
)

// mostPathBytes is how long a path may be that somebody returns to.
const mostPathBytes = 2048

// LocalPath returns a path of the console, with its query, that somebody may be sent to after sign-in; and "/" for everything else. It is strict, since
// browsers read a Location generously: they take `\` for `/` and skip control characters.
func LocalPath(text string) string {
	if len(text) > mostPathBytes || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		return "/"
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return "/"
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !isPlain(u.Path) {
		return "/"
	}
	for _, own := range []string{SignInPath, "/sign-out"} { // they would lead nowhere
		if u.Path == own || strings.HasPrefix(u.Path, own+"/") {
			return "/"
		}
	}
	u.Fragment, u.RawFragment = "", ""
	return u.RequestURI()
}

// isPlain reports whether a path that is decoded has no second meaning: no empty segment or one of dots, and nothing that can be decoded again.
func isPlain(decoded string) bool {
	for _, c := range decoded {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\\' || c == '%' {
			return false
		}
	}
	return decoded == "/" || path.Clean(decoded) == strings.TrimSuffix(decoded, "/")
}
