package http1

import (
	"context"
	"net"
	"sync"
)

// listener accepts connections of the type *conn.
type listener struct {
	net.Listener

	config      Config
	connections connections
	closing     sync.WaitGroup // connections that are to be closed when they have responded
}

// listen returns a listener for an http.Server whose ConnState is noteState.
func listen(inner net.Listener, config Config) *listener {
	l := &listener{Listener: inner, config: config, connections: connections{
		max: config.MaxConnections, maxHeld: int64(config.MaxHeldBytes), maxPending: int64(config.MaxPendingBytes),
	}}
	l.connections.free.L = &l.connections.mu
	return l
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, listener: l, scanner: scanner{maxHead: l.config.MaxHeaderBytes + slack}}
	if !l.connections.admit(c) {
		_ = inner.Close() // nobody can act on an error
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.connections.close()
	return l.Listener.Close()
}

// wait waits for the responses on connections that were closed while the fast path responded, or until ctx ends.
// Shutdown comes first.
func (l *listener) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.closing.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
