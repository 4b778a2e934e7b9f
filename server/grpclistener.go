package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/keyward-dev/keyward/server/grpcconns"
)

// grpcListener is a gRPC server with its listener.
type grpcListener struct {
	listener net.Listener
	server   *grpc.Server
}

// streamWorkers are goroutines that serve one request after the other, as many as may be in progress at once on a busy
// server: a new goroutine for each request would have to grow its stack again. Further requests, and streams of access
// logs, which keep a worker, have goroutines of their own.
const streamWorkers = 64

const (
	// maxMessage is for a check with 64 KiB of headers, a client certificate and metadata, but without the body of the
	// request, which is not needed; and for a batch of Envoy's access log, of 16 KiB by default.
	maxMessage = 256 << 10
	// maxMetadata is what gRPC's own headers may take. What a client sends to Envoy is in the message.
	maxMetadata = 8 << 10
	// maxStreams of a connection; Envoy opens another one for more.
	maxStreams = 250
	// streamWindow and connWindow are how many bytes are on their way. A message that is waited for has a window of its size.
	streamWindow, connWindow = 64 << 10, 1 << 20
	// maxHeldMessages bounds what all connections hold of messages and streams without a response.
	maxHeldMessages = 64 << 20
)

// evictions counts the connections of the gRPC address that were evicted.
func evictions(metrics prometheus.Registerer) func(why string) {
	connections := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_validator_grpc_connections_ended_total",
		Help: "Connections to the gRPC address that were closed, by reason: capacity, for a new connection; memory, of " +
			"requests without a response; " +
			"timeout, because a message was not complete, or a response not read, in time.",
	}, []string{"reason"})
	metrics.MustRegister(connections)
	for _, why := range []string{grpcconns.Capacity, grpcconns.Memory, grpcconns.Timeout} {
		connections.WithLabelValues(why)
	}
	return func(why string) { connections.WithLabelValues(why).Inc() }
}

func listenGRPC(config listenerConfig, metrics prometheus.Registerer, codec grpc.ServerOption,
	register func(*grpc.Server)) (*grpcListener, error) {
	listener, err := listen(config)
	if err != nil {
		return nil, err
	}
	inner := insecure.NewCredentials()
	if config.tls != nil {
		inner = credentials.NewTLS(config.tls)
	}
	server := grpc.NewServer(
		codec, grpc.NumStreamWorkers(streamWorkers), grpc.ConnectionTimeout(config.limits.ReadHeaderTimeout),
		grpc.Creds(grpcconns.Credentials(inner)),
		grpc.MaxHeaderListSize(maxMetadata), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(maxStreams),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: config.limits.IdleTimeout, Time: config.limits.IdleTimeout}),
	)
	register(server)
	listener = grpcconns.Listen(listener, grpcconns.Config{
		MaxConnections: config.limits.MaxConnections, MaxHeldBytes: maxHeldMessages,
		MessageTimeout: config.limits.ReadHeaderTimeout, OnEvict: evictions(metrics), Streams: clientsStream(server),
	})
	return &grpcListener{listener, server}, nil
}

// clientsStream reports whether the server has a method by which clients send many messages.
func clientsStream(server *grpc.Server) bool {
	for _, service := range server.GetServiceInfo() {
		if slices.ContainsFunc(service.Methods, func(m grpc.MethodInfo) bool { return m.IsClientStream }) {
			return true
		}
	}
	return false
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
