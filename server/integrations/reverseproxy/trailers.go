package reverseproxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"sync/atomic"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// passTrailers lets announced trailers of a request follow its body, except those that would add to what was decided
// on. ReverseProxy itself passes no trailers on: it clones the request before they have arrived.
func passTrailers(r *httputil.ProxyRequest, keys *credential.Locations) {
	r.Out.Trailer = nil
	if r.Out.Body == nil {
		return
	}
	body := &requestBody{ReadCloser: r.Out.Body, in: r.In, ended: passageOf(r.In).bodyEnded}
	r.Out.Body = body
	for name := range r.In.Trailer {
		if httpapi.MayTrail(name) && !httpapi.IsKeyHeader(keys, name) {
			if body.trailer == nil {
				body.trailer = http.Header{}
			}
			body.trailer[name] = nil
		}
	}
	r.Out.Trailer = body.trailer
}

// requestBody is the body of the upstream's request.
type requestBody struct {
	io.ReadCloser

	in      *http.Request
	ended   *atomic.Bool
	trailer http.Header // those that were announced; their values arrive with the end of the body
}

// errClientBody is wrapped by errors of reading from the client. They are no errors of the upstream.
var errClientBody = errors.New("cannot read the request's body")

// Read implements io.Reader. The transport writes the trailers after it has seen io.EOF,
// in the same goroutine.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		if b.ended != nil {
			b.ended.Store(true)
		}
		for name := range b.trailer {
			b.trailer[name] = b.in.Trailer[name]
		}
	default:
		err = errors.Join(errClientBody, err)
	}
	return n, err
}
