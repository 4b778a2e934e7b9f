package reverseproxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// filterTrailers keeps trailers of the upstream from the client that belong in the headers of a response, where
// modifyResponse examines them. Other trailers are known only at the end of the body.
func filterTrailers(response *http.Response) {
	httpapi.FilterTrailers(response.Trailer)
	mayHave := response.ProtoMajor > 1 || response.ContentLength < 0 || len(response.Trailer) > 0
	if mayHave && response.Body != http.NoBody && response.StatusCode != http.StatusSwitchingProtocols {
		response.Body = &responseBody{response.Body, response}
	}
}

// responseBody is the body of a response that may have trailers.
type responseBody struct {
	io.ReadCloser

	response *http.Response
}

// Read implements io.Reader. The transport knows the trailers when it has returned io.EOF.
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		httpapi.FilterTrailers(b.response.Trailer)
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// WriteHeader implements http.ResponseWriter. It removes headers about storing and reading a response from
// informational responses. A 101 is none: HTTP/2 does not have it, and a real upgrade takes the connection over.
func (c *counted) WriteHeader(status int) {
	switch {
	case status == http.StatusSwitchingProtocols:
		return
	case isInformational(status):
		httpapi.FilterInformational(c.Header())
		c.ResponseWriter.WriteHeader(status)
	default:
		c.ResponseWriter.WriteHeader(status) // it panics for what is no status
		c.begun = true
	}
}

func isInformational(status int) bool { return status >= http.StatusContinue && status < http.StatusOK }

// errStatus is the error for a status that no final response can have.
var errStatus = errors.New("the status of the response is not one")

// checkStatus refuses what net/http would refuse with a panic. Statuses beyond 599 pass: some content servers have
// them, and clients handle them as a 5xx (RFC 9110, section 15).
func checkStatus(status int, upgrade bool) error {
	const most = 999
	if status < http.StatusOK && (status != http.StatusSwitchingProtocols || !upgrade) || status > most {
		return fmt.Errorf("%w: %d", errStatus, status)
	}
	return nil
}
