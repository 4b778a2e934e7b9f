package decision

// Location is where in a request a key was found.
type Location uint8

// The locations. What is not a header ends up in logs, histories and headers of others, so that Groups have to accept it.
const (
	InHeader Location = iota
	InQuery
	InWebSocketProtocol
	// InSignedURL is no key, but the token that one has signed. The key says itself that it signs URLs, so no Group has to
	// accept it in addition.
	InSignedURL
)

// InURL reports whether there is something in the URL that nobody else must get.
func (l Location) InURL() bool { return l == InQuery || l == InSignedURL }

// IsExposed reports whether the text of a key is where it leaks.
func (l Location) IsExposed() bool { return l == InQuery || l == InWebSocketProtocol }

// String returns the name of a location in metrics and in the decision log.
func (l Location) String() string {
	switch l {
	case InQuery:
		return "query"
	case InWebSocketProtocol:
		return "websocket_protocol"
	case InSignedURL:
		return "signed_url"
	default:
		return "header"
	}
}

// Locations is a set of locations. The zero set is that of headers only.
type Locations uint8

// With returns the set with one more location.
func (s Locations) With(l Location) Locations { return s | 1<<l }

// Accepts reports whether keys may be in the location. Headers are in every set.
func (s Locations) Accepts(l Location) bool { return l == InHeader || s>>l&1 == 1 }

// misplaced reports whether the key is where its group does not accept it, or from where nobody could remove it. A signed URL is
// where it belongs: it does nothing but what was signed, and not for long.
func (e *evaluation) misplaced() bool {
	in := e.request.Location
	return in.IsExposed() && (e.request.KeepsKey || !e.match.Group.AcceptIn.Accepts(in))
}

// Shareable reports whether shared caches may keep the response to an allowed request, if the content server says so. With
// a key in the URL they would store the key, and a signed URL ends. Nor may they where the key is accepted from certain clients
// only: a cache compares headers that responses vary on, and neither addresses nor what browsers add.
func (d *Decision) Shareable() bool {
	return d.Group.SharedCaching && !d.Location.InURL() && len(d.Key.Scope.Addresses) == 0 && d.Key.Scope.Clients == AnyClient
}
