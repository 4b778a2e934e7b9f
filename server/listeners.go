package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// httpListener is an HTTP/1.1 and cleartext HTTP/2 server with its listener. There are no
// timeouts for bodies: content streams for as long as it takes.
type httpListener struct {
	listener net.Listener
	server   *http.Server
}

func listenHTTP(flag, address string, handler http.Handler, log *slog.Logger) (*httpListener, error) {
	listener, err := listen(flag, address)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &httpListener{listener: listener, server: &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
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
	return nil
}

// grpcListener is a gRPC server with its listener.
type grpcListener struct {
	listener net.Listener
	server   *grpc.Server
}

func listenGRPC(flag, address string, server *grpc.Server) (*grpcListener, error) {
	listener, err := listen(flag, address)
	if err != nil {
		return nil, err
	}
	return &grpcListener{listener, server}, nil
}

func (l *grpcListener) serve() error {
	if err := l.server.Serve(l.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve on %s: %w", l.listener.Addr(), err)
	}
	return nil
}

func (l *grpcListener) shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.server.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		l.server.Stop()
		return ctx.Err()
	}
}

func listen(flag, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s: cannot listen on %s; choose another address: %w", flag, address, err)
	}
	return listener, nil
}
