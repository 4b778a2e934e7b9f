package decision

import "github.com/keyward-dev/keyward/internal/addresses"

// Clients are who may present a key.
type Clients uint8

// The clients that may present a key.
const (
	AnyClient Clients = iota
	// BrowserOnly needs an allowed origin.
	BrowserOnly
	// ServerOnly refuses requests that come from a browser.
	ServerOnly
)

// SharedCaching reports whether shared caches may keep the response to an allowed request, as the content server declares. Not that
// to a signed URL, which ends, and not where the key is accepted from certain clients only: a cache compares headers that responses vary on, and neither addresses
// nor what browsers add.
func (d *Decision) SharedCaching() bool {
	return d.Group.SharedCaching && !d.Signed && len(d.Key.Scope.Addresses) == 0 && d.Key.Scope.Clients == AnyClient
}

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
		return e.request.Origin == "" && e.request.Referer == ""
	default:
		return e.request.claims == nil && e.request.fromBrowser() // a signed URL is for those who have no key
	}
}

// fromBrowser reports whether a request has what browsers send and pages cannot take away. Where a browser sends no Origin, it
// sends Sec-Fetch-Site over TLS, and a Referer otherwise unless the page prevents that. Sec-Fetch-Mode and Sec-Fetch-Dest
// alone mean nothing: some HTTP libraries for servers send Sec-Fetch-Mode.
func (r *Request) fromBrowser() bool { return r.Origin != "" || r.Referer != "" || r.FetchSite != "" }
