package httpapi

import "github.com/keyward-dev/keyward/internal/routing"

// IsHost reports whether a Host, or an :authority, is not empty and is one that all servers read alike, by the grammar
// that routes use. net/http would send an invalid one as an empty Host.
func IsHost(text string) bool {
	_, err := routing.CanonicalHost(text)
	return err == nil && text != ""
}
