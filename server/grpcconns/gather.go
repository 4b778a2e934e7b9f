package grpcconns

import (
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// maxGathered is how many bytes of answers may wait for others.
	maxBatch = 32 << 10
	// lastWords is how long a connection that closes has for the answers that wait.
	closeTimeout = time.Second
)

// gathered are buffers for answers that wait. Few connections have one at the same time.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, maxBatch); return &b }}

// gatherer writes the answers of several requests at once.
//
// gRPC gathers them, too, but no longer than until it has 1000 bytes, and an answer to Envoy alone has more. A write
// costs as much as the whole decision does, so answers wait for those of the other requests that are
// answered in this moment: for one round of the scheduler, and only while there are some.
type gatherer struct {
	conn net.Conn

	mu      sync.Mutex
	waiting *[]byte // nil for none
	sending bool    // somebody is about to send what waits
	err     error
}

// write sends what waits and p, or lets it wait for more.
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
	_ = g.send() // whoever writes next is told
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
	_ = g.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // also for who is writing
	g.mu.Lock()
	_ = g.send() // there is nobody left to tell
	g.mu.Unlock()
	return g.conn.Close()
}
