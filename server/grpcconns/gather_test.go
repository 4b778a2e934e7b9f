package grpcconns

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestResponsesKeepTheirOrder whether they wait for others or not, and everything that was written is sent before the
// connection is closed.
func TestResponsesKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		here, there := tcpPair(t)
		received := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(there) // a short read fails below
			received <- all
		}()
		g := &gatherer{conn: here}
		var want []byte
		for i := range rapid.IntRange(1, 40).Draw(t, "writes") {
			piece := bytes.Repeat([]byte{byte('a' + i%26)}, rapid.IntRange(1, maxBatch+10).Draw(t, "bytes"))
			want = append(want, piece...)
			if n, err := g.write(piece, rapid.Bool().Draw(t, "more")); n != len(piece) || err != nil {
				t.Fatalf("%d of %d bytes, %v", n, len(piece), err)
			}
		}
		if err := g.close(); err != nil {
			t.Fatal(err)
		}
		if got := <-received; !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d, or in another order", len(got), len(want))
		}
	})
}

// TestSingleResponseIsSentAtOnce, without waiting for others.
func TestSingleResponseIsSentAtOnce(t *testing.T) {
	here, there := tcpPair(t)
	g := &gatherer{conn: here}
	for range 100 {
		if _, err := g.write([]byte("response"), true); err != nil {
			t.Fatal(err)
		}
		_ = there.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(there, make([]byte, len("response"))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestResponsesAreBatched when several are in progress, which is the purpose.
func TestResponsesAreBatched(t *testing.T) {
	writes := &counted{}
	g := &gatherer{conn: writes}
	g.sending = true // nobody else sends in between
	for range 9 {
		if _, err := g.write(make([]byte, 1100), true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.write(make([]byte, 1100), false); err != nil {
		t.Fatal(err)
	}
	if writes.n != 1 || writes.bytes != 11000 {
		t.Errorf("%d bytes in %d writes, want 11000 in 1", writes.bytes, writes.n)
	}
}

// TestCloseDoesNotWaitForSlowReaders: closing waits no longer than closeTimeout, and a write in progress returns the
// error.
func TestCloseDoesNotWaitForSlowReaders(t *testing.T) {
	here, _ := tcpPair(t)
	g := &gatherer{conn: here}
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := g.write(make([]byte, maxBatch/2), true); err != nil {
				failed <- err
				return
			}
		}
	}()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = g.close() // it must return
	}()
	for _, done := range []func() bool{
		func() bool { _, open := <-closed; return !open },
		func() bool {
			err := <-failed
			return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
		},
	} {
		finished := make(chan bool, 1)
		go func() { finished <- done() }()
		select {
		case ok := <-finished:
			if !ok {
				t.Error("ended otherwise than by its deadline")
			}
		case <-time.After(20 * closeTimeout):
			t.Fatal("still waiting")
		}
	}
}

// counted is a connection that counts what is written.
type counted struct {
	net.Conn

	mu       sync.Mutex
	n, bytes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.bytes += len(p)
	return len(p), nil
}

type fataler interface {
	Fatal(args ...any)
	Cleanup(f func())
}

// tcpPair returns both ends of a connection.
func tcpPair(t fataler) (here, there net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if there, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return here, there
}
