package decision

// Location is where in a request a key was found.
type Location uint8

// The locations. What is not a header ends up in logs, histories and headers of others, so that Groups have to accept it.
const (
	InHeader Location = iota
	InQuery
	InWebSocketProtocol
)

// String returns the name of a location in metrics and in the decision log.
func (l Location) String() string {
	switch l {
	case InQuery:
		return "query"
	case InWebSocketProtocol:
		return "websocket_protocol"
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

// misplaced reports whether the key is where its group does not accept it, or from where nobody could remove it.
func (e *evaluation) misplaced() bool {
	in := e.request.Location
	return in != InHeader && (e.request.KeepsKey || !e.match.Group.AcceptIn.Accepts(in))
}

// Shareable reports whether shared caches may keep the response to an allowed request, if the content server says so. With
// a key in the URL they would store the key.
func (d *Decision) Shareable() bool { return d.Group.SharedCaching && d.Location != InQuery }
