package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
)

// Server is an HTTP/1.1 and HTTP/2 server with its listener. Responses, and request bodies if SmallBodies is set, must
// arrive in time, except for requests that were passed to Stream: content streams for as long as it takes.
type Server struct {
	listener *listener
	server   *http.Server
	draining atomic.Bool
}

// NewServer returns a server for the connections that a listener accepts. The caller runs Serve once.
func NewServer(inner net.Listener, config Config) *Server {
	s := &Server{}
	if config.TLS != nil {
		inner = tls.NewListener(inner, config.TLS)
	}
	if config.FastPath != nil {
		config.FastPath = whileServing{config.FastPath, &s.draining}
	}
	handler := config.Handler
	if config.SmallBodies {
		handler = boundBodies(config.ReadHeaderTimeout, handler)
	}
	if !config.Upgrades {
		handler = closeUpgrades(handler)
	}
	handler = closeWhenDraining(&s.draining, trackPending(config, handler))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // and also within TLS, which net/http does not know about
	s.listener = listen(inner, config)
	s.server = &http.Server{
		Handler:           markResponses(markTLS(boundLeftovers(handler))),
		ConnContext:       withConn,
		ConnState:         noteState,
		Protocols:         protocols,
		ReadHeaderTimeout: config.ReadHeaderTimeout,
		WriteTimeout:      writeTimeout(config),
		IdleTimeout:       config.IdleTimeout,
		MaxHeaderBytes:    config.MaxHeaderBytes,
		HTTP2:             http2Config(config),
		ErrorLog:          config.ErrorLog,

		DisableGeneralOptionsHandler: true, // so that the handler refuses OPTIONS *
	}
	return s
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve serves until Shutdown or Close, and then returns nil.
func (s *Server) Serve() error {
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	}
	return nil
}

// Drain announces the shutdown: clients are asked not to use their connections again, so that none sends its
// next request while the connection closes.
func (s *Server) Drain() { s.draining.Store(true) }

// Resume ends what Drain has begun.
func (s *Server) Resume() { s.draining.Store(false) }

// Shutdown stops accepting connections, and waits for the requests that are in flight. When ctx ends it cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		return errors.Join(err, s.server.Close())
	}
	return s.listener.wait(ctx)
}

// Close closes the listener and all connections.
func (s *Server) Close() error {
	return errors.Join(s.server.Close(), s.listener.Close())
}
