package authorizer

import "strings"

// A client can write anything instead of a host or a method, such as a key in the wrong place.
const (
	unreadable = "unreadable"

	maxHost   = 255
	maxMethod = 20
)

// loggedHost returns a name or an address, with or without a port, unchanged. Such text has no '_', which every key has.
func loggedHost(host string) string {
	return logged(host, maxHost, func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-:[]", c)
	})
}

// loggedMethod returns text that looks like a registered method (RFC 9110, section 16.1).
func loggedMethod(method string) string {
	return logged(method, maxMethod, func(c rune) bool { return c >= 'A' && c <= 'Z' || c == '-' })
}

func logged(text string, limit int, allowed func(rune) bool) string {
	if len(text) > limit || strings.ContainsFunc(text, func(c rune) bool { return !allowed(c) }) {
		return unreadable
	}
	return text
}
