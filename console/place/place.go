// Package place has the paths of the console: who writes links and who serves them agree by it.
package place

import (
	"net/url"
	"strings"
)

// Group names a Group.
type Group struct{ Namespace, Name string }

// String returns how people write it, with its namespace.
func (g Group) String() string { return g.Namespace + "/" + g.Name }

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

// Request names a KeyRequest, where the key is to be. Who may read it may not be able to read its Group.
type Request struct{ Namespace, Name string }

// Requests is the path of all KeyRequests that a person may see, and Ask that of the form for one.
const (
	Requests = "/requests"
	Ask      = "/ask"
)

// Platform is the path of the page that says how Keyward itself is.
const Platform = "/platform"

// Of returns the path of a KeyRequest, or of one of its pages: "delete".
func (r Request) Of(page ...string) string {
	return path(append([]string{"requests", r.Namespace, r.Name}, page...))
}

// RequestsIn returns the path of the KeyRequests of a namespace.
func RequestsIn(namespace string) string {
	return Requests + "?" + url.Values{"search": {namespace + "/"}}.Encode()
}

// AskIn returns the path of the form with a namespace filled in, and a Group. What is empty is left out.
func AskIn(namespace string, of Group) string {
	query := url.Values{}
	if namespace != "" {
		query.Set("namespace", namespace)
	}
	if of.Name != "" {
		query.Set("group", of.String())
	}
	if len(query) == 0 {
		return Ask
	}
	return Ask + "?" + query.Encode()
}

func path(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}
