package credential

import (
	"net/http"
	"strings"
)

// Subprotocols of WebSockets (RFC 6455, section 1.9), the only text that a page may choose in a handshake. ProtocolMarker
// says nothing. A page offers it beside a key for the server to select.
const (
	ProtocolMarker = "keyward"
	protocolKey    = "keyward.key."
)

// protocols are the subprotocols that a client offers.
type protocols struct {
	keys   int    // how many of them are keys
	key    string // the text of the last one
	own    string // the whole element
	marker string
	others []string // for the content server
}

// readProtocols reads the lines of Sec-WebSocket-Protocol, which is a list. Names are compared in any case, so that no other
// spelling passes a key on. A name with a key behind something else, such as a space that only some servers trim, is a key that is
// malformed.
func readProtocols(lines []string) (p protocols) {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			switch at := indexFold(name, protocolKey); {
			case at == 0:
				p.keys++
				p.key, p.own = name[len(protocolKey):], name
			case at > 0:
				p.keys += 2 // as if there were two, of which nobody can say which one counts
				p.key, p.own = "", name
			case strings.EqualFold(name, ProtocolMarker):
				p.marker = name
			case name != "":
				p.others = append(p.others, name)
			}
		}
	}
	return p
}

// indexFold returns where an ASCII text in lower case begins in another, in any case; -1 if it does not occur.
func indexFold(in, text string) int {
	for i := range len(in) - len(text) + 1 {
		if strings.EqualFold(in[i:i+len(text)], text) {
			return i
		}
	}
	return -1
}

// Offer is what becomes of the subprotocols of a client.
type Offer struct {
	// Changed is set if the content server must see Pass instead of what the client offers; "" is no header.
	Changed bool
	Pass    string
	// Select is what to select if the content server has changed the protocol without selecting one. It is "" if nothing may
	// be selected.
	Select string
}

// OfferOf returns it for the headers of an allowed request. Browsers close a WebSocket if the server selects none of the
// subprotocols that a page has offered, and no server may select another one (RFC 6455, section 4.2.2). So who gets fewer
// subprotocols than were offered cannot select for the client:
//
//   - Another one than Keyward's is for the content server to select. If it wants none of them, that is its answer, too.
//   - The marker is selected otherwise.
//   - A client that offers the key alone gets the key back, the only one that it would accept.
func OfferOf(header http.Header) Offer {
	lines := header[HeaderWebSocketProtocol]
	if len(lines) == 0 {
		return Offer{}
	}
	p := readProtocols(lines)
	if p.keys == 0 && p.marker == "" {
		return Offer{}
	}
	o := Offer{Changed: true, Pass: strings.Join(p.others, ", ")}
	switch {
	case p.marker != "":
		o.Select = p.marker
	case len(p.others) == 0:
		o.Select = p.own
	}
	return o
}
