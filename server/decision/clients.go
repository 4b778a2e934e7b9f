package decision

import "github.com/keyward-dev/keyward/internal/addresses"

// Clients are who may present a key.
type Clients uint8

// The clients that may present a key.
const (
	AnyClient Clients = iota
	// BrowserOnly needs an allowed origin, also in projects that accept requests without one.
	BrowserOnly
	// ServerOnly refuses requests that come from a browser.
	ServerOnly
)

// checkAddress compares the client's address with those of the key. It comes before the project is looked for: whoever has
// copied a key does not learn by it which projects there are.
func (e *evaluation) checkAddress() Code {
	of := e.match.Key.Scope.Addresses
	switch {
	case len(of) == 0 && e.match.Group.RequireAddresses:
		return AddressDenied
	case len(of) == 0:
		return Allowed
	case !e.request.Address.IsValid():
		return AddressUnknown
	case !addresses.Contain(of, e.request.Address):
		return AddressDenied
	}
	return Allowed
}

// deniesClient reports whether the request comes from a client that the key is not for.
func (e *evaluation) deniesClient() bool {
	switch e.match.Key.Scope.Clients {
	case AnyClient:
		return false
	case BrowserOnly:
		return e.request.Origin == "" && e.request.Referer == "" && !e.isOwnPage()
	default:
		return e.request.claims == nil && e.request.fromBrowser() // a signed URL is for those who have no key
	}
}

// fromBrowser reports whether a request has what browsers send and pages cannot take away. Where a browser sends no Origin, it
// sends Sec-Fetch-Site over TLS, and a Referer otherwise unless the page prevents that. Sec-Fetch-Mode and Sec-Fetch-Dest
// alone mean nothing: some HTTP libraries for servers send Sec-Fetch-Mode.
func (r *Request) fromBrowser() bool { return r.Origin != "" || r.Referer != "" || r.FetchSite != "" }
