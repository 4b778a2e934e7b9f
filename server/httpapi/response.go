package httpapi

import (
	"net/http"
	"net/netip"
)

// FastRequest is the part of a proxy's request that an integration reads. Nobody may keep its header.
type FastRequest struct {
	secret

	Path, RawQuery string // of the proxy's own request
	Host           string
	Peer           netip.Addr // the proxy
	Header         http.Header
}

// Response is an HTTP response.
type Response struct {
	Status  int
	Headers []Header
	Body    []byte // nobody may change it
}

// Denial is the Response to a request that is denied, or to a preflight: in both cases the request is not forwarded.
// The response to a preflight has no body.
type Denial = Response

// Write sends the response.
func (r Response) Write(w http.ResponseWriter) {
	Set(w.Header(), r.Headers)
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body) // a client that has gone needs no response
}
