package reverseproxy

import (
	"io"
	"net/http"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// filterTrailers keeps those of the upstream's trailers from the client that belong into an answer's
// headers, where modifyResponse looks at them. The others are known at the end of the body only.
func filterTrailers(response *http.Response) {
	httpapi.FilterTrailers(response.Trailer)
	mayHave := response.ProtoMajor > 1 || response.ContentLength < 0 || len(response.Trailer) > 0
	if mayHave && response.Body != http.NoBody && response.StatusCode != http.StatusSwitchingProtocols {
		response.Body = &responseBody{response.Body, response}
	}
}

// answerBody is the body of an answer that may have trailers.
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

// WriteHeader implements http.ResponseWriter. What the upstream says in front of its answer says
// nothing about keeping or reading it.
func (c *counted) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		httpapi.FilterInformational(c.Header())
	}
	c.ResponseWriter.WriteHeader(status)
}
