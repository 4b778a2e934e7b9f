package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/certfiles"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/options"
)

// listenerConfig is how the server listens on one address.
type listenerConfig struct {
	flag, address string
	limits        options.Listeners

	tls      *tls.Config          // nil for none
	fastPath http1.FastPath       // nil for none
	proxies  *clientaddr.Resolver // nil if nobody speaks the PROXY protocol

	smallBodies, upgrades bool // see http1.Config
}

// maxHeldBytes bounds how much the connections of one listener buffer of incomplete heads. A head of the usual size
// arrives in one piece, and is not buffered.
const maxHeldBytes = 32 << 20

// maxPendingBytes bounds what the requests cost that one listener is responding to itself. Most need microseconds.
const maxPendingBytes = 48 << 20

// streamIdleTimeout is how long the client of an allowed request to the reverse proxy may stall.
const streamIdleTimeout = 5 * time.Minute

func listenHTTP(config listenerConfig, handler http.Handler, log *slog.Logger) (*http1.Server, error) {
	listener, err := listen(config)
	if err != nil {
		return nil, err
	}
	if !config.limits.FastPath {
		config.fastPath = nil
	}
	return http1.NewServer(listener, http1.Config{
		Handler: handler, TLS: config.tls, FastPath: config.fastPath, SmallBodies: config.smallBodies, Upgrades: config.upgrades,
		MaxHeaderBytes: config.limits.MaxHeaderBytes, ReadHeaderTimeout: config.limits.ReadHeaderTimeout,
		IdleTimeout:    config.limits.IdleTimeout,
		MaxConnections: config.limits.MaxConnections, MaxHeldBytes: maxHeldBytes,
		MaxPendingBytes: maxPendingBytes, StreamIdleTimeout: streamIdleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}), nil
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
			// From anybody else its header is not HTTP, and is refused as such.
			if config.proxies.Trusts(clientaddr.Peer(conn.Upstream.String())) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}, nil
}

// integrationTLS returns the TLS configuration of all integrations, nil for none.
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
