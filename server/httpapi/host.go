package httpapi

import "github.com/keyward-dev/keyward/internal/routing"

// IsHost reports whether a Host, or an :authority, is one that all servers read alike, by the grammar that
// routes go by, and is there at all. What is none, net/http would send as an empty Host.
func IsHost(text string) bool {
	_, err := routing.CanonicalHost(text)
	return err == nil && text != ""
}
