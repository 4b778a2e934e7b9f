package grpcconns

import (
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// maxBatch is how many bytes of responses may wait for others.
	maxBatch = 32 << 10
	// closeTimeout is how long a connection that closes may take to send the responses that wait.
	closeTimeout = time.Second
)

// buffers are for responses that wait. Few connections have one at the same time.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, maxBatch); return &b }}

// gatherer writes the responses of several requests at once.
//
// gRPC gathers them, too, but only until it has 1000 bytes, and a single response to Envoy has more. A write costs as
// much as the whole decision does. So responses wait for those of other requests that are in progress at this moment:
// for one round of the scheduler, and only while there are some.
type gatherer struct {
	conn net.Conn

	mu      sync.Mutex
	waiting *[]byte // nil for none
	sending bool    // a goroutine is about to send what waits
	err     error
}

// write sends what waits and p, or lets p wait for more.
func (g *gatherer) write(p []byte, more bool) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	size := len(p)
	if g.waiting != nil {
		size += len(*g.waiting)
	}
	if size > maxBatch {
		if err := g.send(); err != nil {
			return 0, err
		}
	}
	if g.waiting == nil && (!more || len(p) > maxBatch) {
		return g.conn.Write(p)
	}
	if g.waiting == nil {
		g.waiting = buffers.Get().(*[]byte)
	}
	*g.waiting = append(*g.waiting, p...)
	if !more {
		return len(p), g.send()
	}
	if !g.sending {
		g.sending = true
		go g.later()
	}
	return len(p), nil
}

func (g *gatherer) later() {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sending = false
	_ = g.send() // the next write returns the error
}

// send sends what waits. The caller holds mu.
func (g *gatherer) send() error {
	if g.waiting == nil {
		return g.err
	}
	_, g.err = g.conn.Write(*g.waiting)
	*g.waiting = (*g.waiting)[:0]
	buffers.Put(g.waiting)
	g.waiting = nil
	return g.err
}

// close sends what waits, and closes the connection.
func (g *gatherer) close() error {
	_ = g.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // also for a write in progress
	g.mu.Lock()
	_ = g.send() // nobody can act on an error
	g.mu.Unlock()
	return g.conn.Close()
}
