package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// leftoverTimeout is how long the server continues to read a body that the handler did not read to its end. It reads
// the rest so that the client does not miss the response, which the client has by then.
const leftoverTimeout = time.Second

// connKey is the context key of a request's *conn.
type connKey struct{}

func withConn(ctx context.Context, inner net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, inner)
}

// markResponses tells the connection from when on a handler writes to it, and not net/http itself.
func markResponses(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.responding.Store(true)
		}
		next.ServeHTTP(w, r)
	})
}

// markTLS sets what net/http would set if it knew that it is behind TLS.
func markTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			if secure, ok := c.Conn.(*tls.Conn); ok {
				state := secure.ConnectionState()
				r.TLS = &state
			}
		}
		next.ServeHTTP(w, r)
	})
}

// boundLeftovers sends a response before the request's body has arrived: a client that is refused need not send the
// body, and a client that never sends it holds nothing for long.
func boundLeftovers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			w.Header().Set("Connection", "close") // then net/http does not wait for the body either
		}
		next.ServeHTTP(w, r)
		_ = control.SetReadDeadline(time.Now().Add(leftoverTimeout)) // fails if the connection is gone
	})
}

// boundBodies is for handlers that read a small body completely, or none. Until the body is read to its end, the
// connection is marked for closing: the rest of a body is no request.
func boundBodies(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && timeout > 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout)) // fails if the connection is gone
		}
		if r.ProtoMajor == 1 && r.ContentLength != 0 {
			if w.Header().Get("Connection") == "" {
				w.Header().Set("Connection", "close")
				r.Body = &untilEnd{r.Body, w.Header()}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// untilEnd unmarks a connection that was marked for closing, when the body has come to its end.
type untilEnd struct {
	io.ReadCloser

	header http.Header
}

// Read implements io.Reader.
func (b *untilEnd) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.header.Del("Connection")
	}
	return n, err
}

// closeUpgrades closes connections on which clients want to change the protocol, if the handler cannot: what follows
// may not be HTTP.
func closeUpgrades(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if httpapi.WantsUpgrade(r) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// closeWhenDraining is for Drain. Of "close", net/http makes a GOAWAY in HTTP/2.
func closeWhenDraining(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// whileServing leaves all requests to the handlers while the server drains, since closeWhenDraining has to see them.
type whileServing struct {
	FastPath

	draining *atomic.Bool
}

// Respond implements FastPath.
func (w whileServing) Respond(request *httpapi.FastRequest, response *httpapi.Response) bool {
	return !w.draining.Load() && w.FastPath.Respond(request, response)
}
