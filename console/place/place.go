// Package place has the paths of the console: who writes links and who serves them agree by it.
package place

import (
	"net/url"
	"strings"
)

// Group names a Group.
type Group struct{ Namespace, Name string }

// Key names an ApiKey of a Group. Its namespace may differ from that of the Group.
type Key struct {
	Group           Group
	Namespace, Name string
}

// Groups is the path of all Groups that a person may see.
const Groups = "/"

// Of returns the path of a Group, which lists its keys, or of one of its pages: "new-key", "usage", "projects", "allowlists", "log",
// "requests".
func (g Group) Of(page ...string) string {
	return path(append([]string{"groups", g.Namespace, g.Name}, page...))
}

// Of returns the path of a key, or of one of its pages: "rotate", "suspend", "resume", "revoke", "claim", or of its
// events: "live".
func (k Key) Of(page ...string) string {
	return k.Group.Of(append([]string{"keys", k.Namespace, k.Name}, page...)...)
}

// Allowlist returns the path of a DomainAllowlist that applies to the Group.
func (g Group) Allowlist(namespace, name string) string { return g.Of("allowlists", namespace, name) }

// Request returns the path of a request for a key of the Group, by the name of its KeyRequestReview.
func (g Group) Request(review string) string { return g.Of("requests", review) }

func path(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}
