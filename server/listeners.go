package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/keyward-dev/keyward/server/certfiles"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
	"github.com/keyward-dev/keyward/server/options"
)

// listenerConfig is how one address is listened on.
type listenerConfig struct {
	flag, address string
	limits        options.Listeners

	tls      *tls.Config          // nil for none
	fastPath http1.FastPath       // of what needs no handler, nil for none
	proxies  *clientaddr.Resolver // nil where nobody speaks the PROXY protocol
}

// httpListener is an HTTP/1.1 and HTTP/2 server with its listener. There are no timeouts for
// bodies: content streams for as long as it takes.
type httpListener struct {
	listener *http1.Listener
	server   *http.Server
}

func listenHTTP(config listenerConfig, handler http.Handler, log *slog.Logger) (*httpListener, error) {
	listener, err := listen(config)
	if err != nil {
		return nil, err
	}
	if config.tls != nil {
		listener = tls.NewListener(listener, config.tls)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // and also within TLS, of which net/http does not know
	strict := http1.Listen(listener, http1.Config{
		MaxHeaderBytes: config.limits.MaxHeaderBytes, ReadHeaderTimeout: config.limits.ReadHeaderTimeout, IdleTimeout: config.limits.IdleTimeout, FastPath: config.fastPath,
		MaxConnections: config.limits.MaxConnections, MaxHeldBytes: maxHeldBytes,
	})
	return &httpListener{listener: strict, server: &http.Server{
		Handler:           answering(markTLS(boundLeftovers(handler))),
		ConnContext:       withConn,
		ConnState:         http1.NoteState,
		Protocols:         protocols,
		ReadHeaderTimeout: config.limits.ReadHeaderTimeout,
		IdleTimeout:       config.limits.IdleTimeout,
		MaxHeaderBytes:    config.limits.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // OPTIONS * is for us to refuse
	}}, nil
}

// maxHeldBytes bounds what the connections of one listener hold of heads that are not complete. A
// head of the usual size comes in one piece, and is not held.
const maxHeldBytes = 32 << 20

// leftoverTimeout is how long the rest of a body is read that no handler has read. It is read
// so that the client does not miss the answer, which it has by then.
const leftoverTimeout = time.Second

// connKey is the context key of a request's *http1.Conn.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// answering tells the connection from when on what is written to it is an answer of ours.
func answering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(*http1.Conn); ok {
			conn.Responding()
		}
		next.ServeHTTP(w, r)
	})
}

// tellTLS sets what net/http would if it knew that it is behind TLS.
func markTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strict, ok := r.Context().Value(connKey{}).(*http1.Conn); ok {
			if conn, ok := strict.Conn.(*tls.Conn); ok {
				state := conn.ConnectionState()
				r.TLS = &state
			}
		}
		next.ServeHTTP(w, r)
	})
}

// boundLeftovers lets an answer go out before the request's body is there: a client that is
// refused need not send it, and one that never does holds nothing for long.
func boundLeftovers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			w.Header().Set("Connection", "close") // then the body is not waited for either
		}
		next.ServeHTTP(w, r)
		_ = control.SetReadDeadline(time.Now().Add(leftoverTimeout)) // fails where the connection is gone
	})
}

// boundBodies is for handlers that read a whole body, and not a large one, or none. Until the
// body is read to its end, the connection is one to close: what is left of it is no request.
func boundBodies(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout)) // fails where the connection is gone
			if w.Header().Get("Connection") == "" {
				w.Header().Set("Connection", "close")
				r.Body = &untilEnd{r.Body, w.Header()}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// untilEnd keeps a connection that was to be closed when the body has come to its end.
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

// closeUpgrades ends connections on which clients want to change the protocol, where none
// can: what follows may not be HTTP.
func closeUpgrades(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && len(r.Header[httpapi.HeaderUpgrade]) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (l *httpListener) serve() error {
	if err := l.server.Serve(l.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.listener.Addr(), err)
	}
	return nil
}

func (l *httpListener) shutdown(ctx context.Context) error {
	if err := l.server.Shutdown(ctx); err != nil {
		return errors.Join(err, l.server.Close())
	}
	return l.listener.Wait(ctx)
}

func listen(config listenerConfig) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", config.address)
	if err != nil {
		return nil, fmt.Errorf("--%s: cannot listen on %s; choose another address: %w", config.flag, config.address, err)
	}
	if config.proxies == nil {
		return listener, nil
	}
	return &proxyproto.Listener{
		Listener:          listener,
		ReadHeaderTimeout: config.limits.ReadHeaderTimeout,
		ConnPolicy: func(conn proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			// To anybody else its header is no HTTP.
			if config.proxies.Trusts(clientaddr.Peer(conn.Upstream.String())) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}, nil
}

// doorTLS is the TLS configuration of all doors, nil for none.
func integrationTLS(limits options.Listeners, log *slog.Logger) (*tls.Config, error) {
	if limits.TLSCertFile == "" {
		return nil, nil
	}
	config, err := certfiles.Config(limits.TLSCertFile, limits.TLSKeyFile, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file, --tls-key-file: %w", err)
	}
	return config, nil
}
