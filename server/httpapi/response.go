package httpapi

import (
	"net/http"
	"net/netip"
)

// Question is what a proxy asks about a request, as far as a door reads it. Nobody may keep
// its header.
type FastRequest struct {
	secret

	Path, RawQuery string // of the question itself
	Host           string
	Peer           netip.Addr // who asks
	Header         http.Header
}

// Answer is an answer in HTTP.
type Response struct {
	Status  int
	Headers []Header
	Body    []byte // not to be changed
}

// Denial is the Answer to a request that is denied, or to a preflight: in any case the request
// goes no further. The body of the latter is empty.
type Denial = Response

// Write sends the answer.
func (a Response) Write(w http.ResponseWriter) {
	Set(w.Header(), a.Headers)
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that has gone needs no answer
}
