package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// more is another connection to the server of a client.
func (c *client) more() *client {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.conn.RemoteAddr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{c.t, conn, bufio.NewReader(conn)}
}

func (c *client) get(path string) {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
}

// hungUp reports whether the server has closed the connection.
func (c *client) hungUp() bool {
	_, err := c.in.ReadByte()
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// eventually waits until a condition holds for a listener's connections.
func (l *listener) eventually(t *testing.T, what string, is func(*connections) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		l.connections.mu.Lock()
		ok := is(&l.connections)
		l.connections.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

// of finds the server's end of a connection.
func (l *listener) of(t *testing.T, c *client) (found *conn) {
	t.Helper()
	l.eventually(t, "it is accepted", func(s *connections) bool {
		for _, conn := range s.all {
			if conn.RemoteAddr().String() == c.conn.LocalAddr().String() {
				found = conn
			}
		}
		return found != nil
	})
	return found
}

// awaitPhase waits until the server takes a connection for one in this phase. One whose client has its response becomes idle as soon
// as net/http is done with the request.
func (l *listener) awaitPhase(t *testing.T, c *client, phase phase) *conn {
	t.Helper()
	conn := l.of(t, c)
	l.eventually(t, fmt.Sprint("it is in phase ", phase), func(*connections) bool { return conn.slot.phase.Load() == phase })
	return conn
}

// TestLongestIdleConnectionIsEvicted: the one that waits longest for the rest of an overdue head, or if there is none,
// for a request. A connection with a request to an upstream in progress is never evicted.
func TestLongestIdleConnectionIsEvicted(t *testing.T) {
	running, end := make(chan struct{}), make(chan struct{})
	s, first := serve(t, Config{MaxConnections: 4, IdleTimeout: time.Hour, ReadHeaderTimeout: time.Hour, Upgrades: true}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			Stream(w, r)
			running <- struct{}{}
			<-end
		}
	})
	l := s.listener
	l.awaitPhase(t, first, idle)
	working, slow, said := first.more(), first.more(), first.more()
	working.get("/slow")
	<-running
	l.awaitPhase(t, working, busy)
	slow.send("GET / HTT")
	l.eventually(t, "the head is held", func(s *connections) bool { return s.held > 0 })
	said.get("/")
	said.want("")
	l.awaitPhase(t, said, idle)

	// No head is overdue: first has been idle the longest.
	l.of(t, slow).slot.since.Add(int64(time.Hour)) // its head is not overdue
	fifth := first.more()
	fifth.get("/")
	fifth.want("")
	if !first.hungUp() {
		t.Error("the connection that was idle the longest stays")
	}
	l.awaitPhase(t, fifth, idle)

	// The head is overdue: its connection goes before one that has been idle longer.
	l.of(t, slow).slot.since.Store(time.Now().Add(-2 * overdue).UnixNano())
	l.of(t, said).slot.since.Store(time.Now().Add(-4 * overdue).UnixNano())
	sixth := fifth.more()
	sixth.get("/")
	sixth.want("")
	if !slow.hungUp() {
		t.Error("an overdue head stays")
	}
	l.awaitPhase(t, sixth, idle)
	l.eventually(t, "nothing is held", func(s *connections) bool { return s.held == 0 && len(s.all) == 4 })

	// All have a request in progress: the next one waits.
	for _, c := range []*client{said, fifth, sixth} {
		c.get("/slow")
		<-running
		l.awaitPhase(t, c, busy)
	}
	last := fifth.more()
	last.get("/")
	l.eventually(t, "it waits", func(s *connections) bool { return s.awaited.Load() && len(s.all) == 4 })
	close(end)
	last.want("")
	responses := 0
	for _, c := range []*client{working, said, fifth, sixth} {
		response, err := http.ReadResponse(c.in, nil)
		if err == nil && response.StatusCode == http.StatusOK {
			responses++
		}
		if err == nil {
			_ = response.Body.Close()
		}
	}
	if responses != 4 {
		t.Errorf("%d of 4 get their response", responses)
	}
}

// TestHeadsAreHeldWithinBounds: any number of them, and their memory is released with their connections.
func TestHeadsAreHeldWithinBounds(t *testing.T) {
	const bound = 64 << 10
	s, first := serve(t, Config{MaxHeldBytes: bound, IdleTimeout: time.Hour, ReadHeaderTimeout: time.Hour}, nothing)
	l := s.listener
	var slow []*client
	for range 40 { // each of which holds some 4 KiB
		c := first.more()
		c.send("GET / HTTP/1.1\r\nX-A: " + strings.Repeat("a", 4<<10))
		slow = append(slow, c)
		l.eventually(t, "it is not too much", func(s *connections) bool { return s.held > 0 && s.held <= bound })
	}
	first.get("/")
	first.want("")
	l.eventually(t, "some have gone", func(s *connections) bool { return len(s.all) < 20 && s.held <= bound })
	if !slow[0].hungUp() {
		t.Error("the connection that has held the longest stays")
	}
	for _, c := range slow {
		_ = c.conn.Close()
	}
	l.eventually(t, "nothing is held", func(s *connections) bool { return len(s.all) == 1 && s.held == 0 })
}

// TestIdleHTTP2ConnectionIsEvicted, but not one with a request to an upstream in progress.
func TestIdleHTTP2ConnectionIsEvicted(t *testing.T) {
	running, end := make(chan struct{}), make(chan struct{})
	s, first := serve(t, Config{MaxConnections: 2, IdleTimeout: time.Hour, ReadHeaderTimeout: time.Hour, Upgrades: true}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			Stream(w, r)
			running <- struct{}{}
			<-end
		}
	})
	l := s.listener
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	ask := func(path string) error {
		response, err := (&http.Client{Transport: transport}).Get("http://" + first.conn.RemoteAddr().String() + path)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		return err
	}
	if err := ask("/"); err != nil {
		t.Fatal(err)
	}
	allIdle := func(s *connections) bool {
		for _, c := range s.all {
			if c.slot.phase.Load() != idle {
				return false
			}
		}
		return len(s.all) == 2
	}
	l.eventually(t, "both are idle", allIdle)
	done := make(chan error, 1)
	go func() { done <- ask("/slow") }()
	<-running
	other := first.more() // replaces first
	other.get("/")
	other.want("")
	another := first.more()
	another.get("/")
	another.want("")
	close(end)
	if err := <-done; err != nil {
		t.Errorf("a request over HTTP/2 was cut off: %v", err)
	}
	l.eventually(t, "both are idle", allIdle)
}
