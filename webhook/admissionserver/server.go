// Package admissionserver serves admission webhooks within bounds. Everybody who reaches the port can
// send requests, with objects that no schema has checked, so the cost of a request is bounded before
// it is decoded: its size, its shape, its time, and how much of all requests is in memory at once.
package admissionserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const (
	// maxHeader is how many bytes the header of a request may have: that of the API server has some hundreds.
	maxHeader = 16 << 10
	// idleFor is how long a connection may be without a request, and how long a header may take: for the first request net/http
	// counts from the handshake on. It is longer than the API server keeps connections that it does not use. It also
	// keeps those that it has opened for a review, and did not use because another one became free meanwhile.
	idleFor = 2 * time.Minute
)

// Options configure where and how to serve.
type Options struct {
	// Address is host:port or :port.
	Address string
	// Certificate returns the certificate to serve with.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAFile has the certificates of authorities, one of which must have signed the certificate of the
	// client; empty where clients need no certificate.
	ClientCAFile string
	Clock        clock.PassiveClock
}

// New returns a server for webhooks.
func New(options Options) (webhook.Server, error) {
	host, portText, err := net.SplitHostPort(options.Address)
	if err != nil {
		return nil, fmt.Errorf("webhook address %q: write host:port or :port", options.Address)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 1 || port > 65535 {
		return nil, fmt.Errorf("webhook address %q: the port is a number from 1 to 65535", options.Address)
	}
	var clients *x509.CertPool
	if options.ClientCAFile != "" {
		if clients, err = authorities(options.ClientCAFile); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, GetCertificate: options.Certificate}
	if clients != nil {
		config.ClientCAs, config.ClientAuth = clients, tls.RequireAndVerifyClientCert
	}
	mux := http.NewServeMux()
	return Bounded(&listening{
		Server:  webhook.NewServer(webhook.Options{WebhookMux: mux}), // which registers handlers, and counts requests
		address: net.JoinHostPort(host, portText), tls: config, mux: mux, started: make(chan struct{}),
	}, options.Clock), nil
}

func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of webhook clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM format", file)
	}
	return pool, nil
}

// listening is a server for webhooks that listens within bounds. It supports HTTP/1.1 only: with HTTP/2
// up to a megabyte of each connection is buffered before a handler reads it.
type listening struct {
	webhook.Server

	address string
	tls     *tls.Config
	mux     *http.ServeMux
	started chan struct{} // is closed when it listens
}

// Start implements webhook.Server.
func (l *listening) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("listening for admission reviews: %w", err)
	}
	log := logr.FromContextOrDiscard(ctx).WithName("admission")
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:           l.mux,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withConnection,
		Protocols:         protocols,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: idleFor,
		WriteTimeout:      readWithin + queueWithin + respondWithin, // which is also the time limit of the TLS handshake
		IdleTimeout:       idleFor,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin+respondWithin)
		defer cancel()
		if server.Shutdown(within) != nil {
			_ = server.Close()
		}
	}()
	close(l.started)
	bounded := boundConnections(listener, maxConnections, maxOfPeer)
	if err := server.Serve(tls.NewListener(bounded, l.tls)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving admission reviews: %w", err)
	}
	<-stopped
	return nil
}

// StartedChecker implements webhook.Server. It does not connect: that others keep the port busy
// is no reason for the API server not to send requests.
func (l *listening) StartedChecker() healthz.Checker {
	return func(*http.Request) error {
		select {
		case <-l.started:
		default:
			return errors.New("the webhook server does not listen yet")
		}
		_, err := l.tls.GetCertificate(&tls.ClientHelloInfo{})
		return err
	}
}

// connectionKey is the context key of a request's *connection.
type connectionKey struct{}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(*tls.Conn); ok {
		return context.WithValue(ctx, connectionKey{}, secured.NetConn())
	}
	return ctx
}
