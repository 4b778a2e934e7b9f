package reverseproxy

import (
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
// informational responses.
func (c *counted) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		httpapi.FilterInformational(c.Header())
	}
	c.ResponseWriter.WriteHeader(status)
}
