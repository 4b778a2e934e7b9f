package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// endless is a client whose requests never end.
type endless struct {
	name    string
	method  string
	path    string
	headers []string // names and values
	body    int      // bytes that are sent of a body that has no end, or -1 for a request without a body
	window  uint32   // how many bytes of a response the client takes
	http1   bool
}

func (e *endless) block() []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{":method", e.method, ":scheme", "http", ":path", e.path, ":authority", "h"}, e.headers...)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return block.Bytes()
}

// start sends requests on a connection. Its resets are the streams that the server has reset, and end with the connection.
func (e *endless) start(t *testing.T, address net.Addr, streams int) (conn net.Conn, resets chan struct{}) {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	resets = make(chan struct{}, streams)
	if e.http1 {
		_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{", e.method, e.path)
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			close(resets)
		}()
		return conn, resets
	}
	framer, credit := http2.NewFramer(conn, conn), new(atomic.Int64)
	credit.Store(65535) // of the connection (RFC 9113, section 6.9.2)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: e.window})
	go e.send(t.Context(), framer, streams, credit)
	go func() {
		defer close(resets)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.RSTStreamFrame:
				resets <- struct{}{}
			case *http2.WindowUpdateFrame:
				if frame.StreamID == 0 {
					credit.Add(int64(frame.Increment))
				}
			}
		}
	}()
	return conn, resets
}

// send ends with the connection, or the test.
func (e *endless) send(ctx context.Context, framer *http2.Framer, streams int, credit *atomic.Int64) {
	const piece = 4 << 10
	block, data := e.block(), bytes.Repeat([]byte(" "), piece)
	for i := range streams {
		id := uint32(2*i + 1)
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: e.body < 0}) != nil {
			return
		}
		for left := e.body; left > 0; left -= piece {
			for credit.Load() < piece {
				if ctx.Err() != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
			n := min(left, piece)
			credit.Add(-int64(n))
			if framer.WriteData(id, false, data[:n]) != nil {
				return
			}
		}
	}
	_ = framer.WriteSettingsAck()
}

var endlesses = []endless{
	{name: "response is not read", method: http.MethodGet, path: "/", body: -1},
	{name: "body does not come, and response is not read", method: http.MethodPost, path: "/", body: 1},
	{name: "header is invalid, and response is not read", method: http.MethodGet, path: "/", body: -1, headers: []string{"connection", "close"}},
}

var endlessVerify = []endless{
	{name: "body does not come", method: http.MethodPost, path: "/v1/verify", body: 1, window: 65535},
	{name: "body does not come, HTTP/1", method: http.MethodPost, path: "/v1/verify", http1: true},
}

// forEachEndless runs a test for each address of a validator.
func forEachEndless(t *testing.T, args []string, test func(*testing.T, *endless, net.Addr)) {
	t.Helper()
	for name, address := range map[string]func(Addresses) net.Addr{
		"proxy": func(a Addresses) net.Addr { return a.Proxy },
		"http":  func(a Addresses) net.Addr { return a.HTTP },
		"admin": func(a Addresses) net.Addr { return a.Admin },
	} {
		clients := endlesses
		if name == "http" {
			clients = append(clients[:len(clients):len(clients)], endlessVerify...)
		}
		for _, e := range clients {
			t.Run(name+": "+e.name, func(t *testing.T) {
				t.Parallel() // they wait
				v, _ := running(t, args...)
				test(t, &e, address(v.addresses))
			})
		}
	}
}

// TestUnfinishedRequestsKeepNobodyOut: where all connections have requests that do not end, one whose request is
// overdue is evicted.
func TestUnfinishedRequestsKeepNobodyOut(t *testing.T) {
	const connections = 8
	args := []string{fmt.Sprintf("--max-connections=%d", connections), "--read-header-timeout=10m", "--idle-timeout=10m"}
	forEachEndless(t, args, func(t *testing.T, e *endless, address net.Addr) {
		for range 2 * connections {
			e.start(t, address, 1)
		}
		time.Sleep(100 * time.Millisecond) // so that they come first
		for range 2 {
			good := dial(t, address)
			if status, _ := good.ask("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); status == 0 {
				t.Error("a good client gets no response")
			}
		}
	})
}

// TestUnfinishedRequestsAreCut in --read-header-timeout.
func TestUnfinishedRequestsAreCut(t *testing.T) {
	forEachEndless(t, []string{"--read-header-timeout=200ms", "--idle-timeout=10m"}, func(t *testing.T, e *endless, address net.Addr) {
		_, resets := e.start(t, address, 1)
		select {
		case <-resets: // or the connection is closed
		case <-time.After(20 * time.Second):
			t.Error("it is not cut")
		}
	})
}

// TestUnfinishedRequestsHoldLittle: the memory of requests that do not end is bounded.
func TestUnfinishedRequestsHoldLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	// The server counts up to maxPendingBytes as pending. The rest is what it cannot count: stacks of goroutines, what is read before it is
	// counted, and the clients, which are in this process, too. Without the bound it would be 307 to 2,226 MiB.
	const connections, streams, most = 200, 100, 192 << 20
	for _, e := range []endless{
		{name: "window of 0", method: http.MethodGet, path: "/authz", body: -1},
		{name: "large headers", method: http.MethodGet, path: "/authz", body: -1, headers: []string{"x-a", strings.Repeat("a", 20<<10)}},
		{name: "large bodies", method: http.MethodPost, path: "/v1/verify", body: 60 << 10, window: 65535},
	} {
		t.Run(e.name, func(t *testing.T) {
			v, _ := running(t, "--read-header-timeout=10m")
			before, held := heapInUse(), int64(0)
			for i := range connections {
				e.start(t, v.addresses.HTTP, streams)
				if i%50 == 49 {
					time.Sleep(200 * time.Millisecond)
					held = max(held, heapInUse()-before)
				}
			}
			time.Sleep(time.Second)
			held = max(held, heapInUse()-before)
			t.Logf("%d MiB", held>>20)
			if held > most {
				t.Errorf("%d MiB are held", held>>20)
			}
			if status, _ := dial(t, v.addresses.HTTP).ask("GET /authz HTTP/1.1\r\nHost: h\r\n\r\n"); status == 0 {
				t.Error("a good client gets no response")
			}
		})
	}
}
