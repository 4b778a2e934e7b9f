// Package http1 is the HTTP server of a validator. It reads HTTP/1 requests strictly before net/http reads them
// leniently: where one request ends and the next begins must be unambiguous to every server on the way, or a request
// could hide in another one (RFC 9112, section 11.2). Ambiguous requests are refused and the connection is closed.
// HTTP/2 has frames, and is passed through.
//
// It also replaces the plain-text error responses that net/http writes itself by problem documents, like all other
// denials.
//
// The fast path responds to simple requests inside net.Conn.Read, without net/http. All code that cooperates with it is
// in this package. A Config without FastPath switches it off (--http-fast-path=false): then net/http and the handlers
// serve every request. The fast path depends on these properties of net/http, which a release of Go could change:
//
//   - ConnState is called with StateIdle after each request, and net/http then waits for the next one;
//   - while a handler runs, net/http reads one byte to notice the end of the connection;
//   - error responses that net/http writes itself have the headers in netHTTPErrorHeaders;
//   - the read deadline of an idle connection is IdleTimeout after the last response;
//   - Shutdown closes connections that are idle.
//
// The strict reader depends on the first and the third only.
package http1

import (
	"crypto/tls"
	"log"
	"net/http"
	"time"
)

// Config is how a Server reads its connections and which handler it runs.
type Config struct {
	Handler http.Handler
	TLS     *tls.Config // nil for none

	// FastPath responds to simple requests without Handler, and exactly like it. It is nil if it is switched off.
	FastPath FastPath

	MaxHeaderBytes                 int
	ReadHeaderTimeout, IdleTimeout time.Duration

	// MaxConnections may be open at a time, and buffer MaxHeldBytes of incomplete request heads; 0 means any number.
	MaxConnections, MaxHeldBytes int

	// MaxPendingBytes bounds what requests in progress cost, except those that were passed to Stream; 0 means any number.
	MaxPendingBytes int

	// StreamIdleTimeout is how long the client of a request that was passed to Stream may stall; 0 means forever.
	StreamIdleTimeout time.Duration

	// SmallBodies is for a Handler that reads a body completely, and only small ones, or none. The body has to arrive
	// within ReadHeaderTimeout.
	SmallBodies bool

	// Upgrades is for a Handler that can change the protocol of a connection.
	Upgrades bool

	ErrorLog *log.Logger // nil for the standard one
}
