package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// hostileGRPC is a client of the gRPC address that respects flow control, and nothing else.
type hostileGRPC struct {
	conn   net.Conn
	framer *http2.Framer

	mu      sync.Mutex
	moved   sync.Cond
	window  int64
	streams map[uint32]int64
	initial int64
	ended   bool
}

func hostileTo(t *testing.T, v *validator, settings ...http2.Setting) *hostileGRPC {
	t.Helper()
	conn, err := net.Dial("tcp", v.addresses.GRPC.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h := &hostileGRPC{conn: conn, framer: http2.NewFramer(conn, conn), window: 65535, initial: 65535, streams: map[uint32]int64{}}
	h.moved.L = &h.mu
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = h.framer.WriteSettings(settings...)
	return h
}

func (h *hostileGRPC) listen() {
	for {
		frame, err := h.framer.ReadFrame()
		h.mu.Lock()
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				for id := range h.streams {
					h.streams[id] += int64(size) - h.initial
				}
				h.initial = int64(size)
			}
		case *http2.WindowUpdateFrame:
			if frame.StreamID == 0 {
				h.window += int64(frame.Increment)
			} else {
				h.streams[frame.StreamID] += int64(frame.Increment)
			}
		case *http2.RSTStreamFrame:
			h.streams[frame.StreamID] = -1 << 40
		case *http2.MetaHeadersFrame, *http2.HeadersFrame:
			h.streams[frame.Header().StreamID] = -1 << 40 // refused
		}
		h.ended = err != nil
		h.moved.Broadcast()
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *hostileGRPC) open(id uint32) {
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", authv3.Authorization_Check_FullMethodName}, {":authority", "x"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	h.mu.Lock()
	h.streams[id] = h.initial
	h.mu.Unlock()
	_ = h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true})
}

// send sends a message of a size, without its last bytes, as far as the server's windows permit.
func (h *hostileGRPC) send(id uint32, size int) {
	piece := make([]byte, 16<<10)
	binary.BigEndian.PutUint32(piece[1:], uint32(size))
	for left := size - 16; left > 0; {
		n := int64(min(left, len(piece)))
		late := false
		timer := time.AfterFunc(3*time.Second, func() { h.mu.Lock(); late = true; h.moved.Broadcast(); h.mu.Unlock() })
		h.mu.Lock()
		for (h.window < n || h.streams[id] < n) && h.streams[id] >= 0 && !h.ended && !late {
			h.moved.Wait()
		}
		stuck := h.window < n || h.streams[id] < n
		if !stuck {
			h.window -= n
			h.streams[id] -= n
		}
		h.mu.Unlock()
		timer.Stop()
		if stuck || h.framer.WriteData(id, false, piece[:n]) != nil {
			return
		}
		clear(piece[:5])
		left -= int(n)
	}
}

// checkIsServed fails the test if a check on a new connection gets no response.
func checkIsServed(t *testing.T, v *validator) {
	t.Helper()
	conn, err := grpc.NewClient(v.addresses.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("a check gets no response: %v", err)
	}
}

// TestUnfinishedMessages: messages that lack their end cost bounded memory, on any number of streams and connections,
// and keep nobody out.
func TestUnfinishedMessages(t *testing.T) {
	for name, c := range map[string]struct {
		connections, streams, size int
		ends                       bool
	}{
		"that are too large": {1, 100, 4_100_000, false},
		"on many streams":    {10, 150, 255 << 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, configFor(t, fakemanager.Start(t), "--read-header-timeout=10m"))
			before := heapInUse()
			var senders sync.WaitGroup
			for range c.connections {
				h := hostileTo(t, v)
				go h.listen()
				senders.Go(func() {
					for i := range c.streams {
						id := uint32(2*i + 1)
						h.open(id)
						h.send(id, c.size)
					}
				})
			}
			senders.Wait()
			checkIsServed(t, v)
			if grown := heapInUse() - before; grown > 2*(64<<20) {
				t.Errorf("%d MiB are held", grown>>20)
			}
			if c.ends && strings.Contains(metricsOf(t, v), `keyward_validator_grpc_connections_ended_total{reason="memory"} 0`) {
				t.Error("no connection had to go")
			}
		})
	}
}

// TestUnfinishedMessageIsCut after some seconds, and so is a response that is not read. An access log that is silent
// for long is not.
func TestUnfinishedMessageIsCut(t *testing.T) {
	v := start(t, configFor(t, fakemanager.Start(t), "--read-header-timeout=1s", "--envoy-access-log"))
	log, err := accesslogv3.NewAccessLogServiceClient(dialGRPC(t, v)).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sendLog := func(want string) {
		t.Helper()
		entries := &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*accesslogdatav3.HTTPAccessLogEntry{{}}}
		message := &accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: entries}}
		if err := log.Send(message); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the entry has arrived", func() bool {
			return strings.Contains(metricsOf(t, v), `keyward_validator_access_log_entries_total{outcome="unattributed"} `+want)
		})
	}
	sendLog("1")
	silent, within, deaf := hostileTo(t, v), hostileTo(t, v), hostileTo(t, v, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	silent.open(1)
	within.open(1)
	within.send(1, 1000)
	deaf.open(1)
	_ = deaf.framer.WriteData(1, true, make([]byte, 5))
	for name, h := range map[string]*hostileGRPC{"silent": silent, "within a message": within, "deaf": deaf} {
		_ = h.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, h.conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection stays", name)
		}
	}
	sendLog("2")
	if want := `keyward_validator_grpc_connections_ended_total{reason="timeout"} 3`; !strings.Contains(metricsOf(t, v), want) {
		t.Errorf("metrics lack %s", want)
	}
}

// TestRequestThatNeverEndsIsCut: a message is complete, but the client does not end the stream. Few streams of an access
// log may stay open like this on a connection.
func TestRequestThatNeverEndsIsCut(t *testing.T) {
	open := func(t *testing.T, v *validator, streams uint32) *hostileGRPC {
		h := hostileTo(t, v)
		go h.listen()
		for i := range streams {
			h.open(2*i + 1)
			_ = h.framer.WriteData(2*i+1, false, make([]byte, 5))
		}
		return h
	}
	isCut := func(h *hostileGRPC) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.ended
	}
	for name, c := range map[string]struct {
		flags   []string
		streams uint32
	}{
		"a request":        {nil, 1},
		"many requests":    {nil, 240},
		"many access logs": {[]string{"--envoy-access-log"}, 17},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := start(t, configFor(t, fakemanager.Start(t), append(c.flags, "--read-header-timeout=5s")...))
			few := open(t, v, 16)
			h := open(t, v, c.streams)
			waitFor(t, "the connection is cut", func() bool { return isCut(h) })
			if c.flags == nil {
				return
			}
			// Those that came before had more time than those that are cut.
			if isCut(few) {
				t.Error("a connection of few access logs is cut")
			}
		})
	}
}

// TestRequestsThatNeverEndKeepNobodyOut: clients whose requests arrive in two pieces stay, and who holds much goes.
func TestRequestsThatNeverEndKeepNobodyOut(t *testing.T) {
	for name, c := range map[string]struct {
		flags                []string
		connections, streams int
	}{
		// A little less than may be held.
		"few connections":            {nil, 11, 248},
		"access logs":                {[]string{"--envoy-access-log"}, 170, 16},
		"access logs, one on each":   {[]string{"--envoy-access-log"}, 2730, 1},
		"requests, and one on each":  {nil, 2730, 1},
		"access logs, many on a few": {[]string{"--envoy-access-log"}, 11, 248},
	} {
		t.Run(name, func(t *testing.T) {
			m := fakemanager.Start(t)
			v := start(t, configFor(t, m, append(c.flags, "--read-header-timeout=10m", "--max-connections=5000")...))
			m.Next().Send(catchUp(fixture.Mint(t)))
			waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == http.StatusOK })
			for range c.connections {
				h := hostileTo(t, v)
				go h.listen()
				for i := range uint32(c.streams) {
					h.open(2*i + 1)
					_ = h.framer.WriteData(2*i+1, false, make([]byte, 5))
				}
			}
			good := hostileTo(t, v)
			go good.listen()
			const requests = 8
			for i := range uint32(requests) {
				good.open(2*i + 1)
			}
			time.Sleep(20 * time.Millisecond) // the network has split them
			for i := range uint32(requests) {
				_ = good.framer.WriteData(2*i+1, true, make([]byte, 5))
			}
			waitFor(t, "all have their answers", func() bool {
				good.mu.Lock()
				defer good.mu.Unlock()
				if good.ended {
					t.Fatal("the connection of a good client is cut")
				}
				for _, window := range good.streams {
					if window >= 0 {
						return false
					}
				}
				return true
			})
		})
	}
}

// TestResetsAreBounded: a stream that its client resets costs memory until its handler has run, so that who resets streams
// as fast as it opens them is evicted.
func TestResetsAreBounded(t *testing.T) {
	m := fakemanager.Start(t)
	v := start(t, configFor(t, m))
	m.Next().Send(catchUp(fixture.Mint(t)))
	waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == http.StatusOK })
	var flood sync.WaitGroup
	for range 20 {
		h := hostileTo(t, v)
		go h.listen()
		flood.Go(func() {
			for i := range uint32(2_000_000) { // more than the buffers of the network hold
				h.open(2*i + 1)
				if h.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
					return
				}
			}
			t.Error("a connection that does nothing but reset streams stays")
		})
	}
	checkIsServed(t, v)
	flood.Wait()
	if strings.Contains(metricsOf(t, v), `keyward_validator_grpc_connections_ended_total{reason="memory"} 0`) {
		t.Error("no connection was evicted for its memory")
	}
	checkIsServed(t, v)
}

// TestIdleGRPCConnectionIsEvicted: a client that holds all connections keeps nobody out by anything that it does on them.
func TestIdleGRPCConnectionIsEvicted(t *testing.T) {
	const most = 8
	for name, do := range map[string]func(*hostileGRPC){
		"silent":            func(*hostileGRPC) {},
		"without message":   func(h *hostileGRPC) { h.open(1) },
		"within a message":  func(h *hostileGRPC) { h.open(1); h.send(1, 1000) },
		"reads no response": func(h *hostileGRPC) { h.open(1); _ = h.framer.WriteData(1, true, make([]byte, 5)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := fakemanager.Start(t)
			v := start(t, configFor(t, m, "--max-connections=8", "--read-header-timeout=10m"))
			m.Next().Send(catchUp(fixture.Mint(t)))
			waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == http.StatusOK })
			for range most {
				h := hostileTo(t, v, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
				if _, err := h.framer.ReadFrame(); err != nil { // it is served
					t.Fatal(err)
				}
				do(h)
			}
			checkIsServed(t, v)
			checkIsServed(t, v)
		})
	}
}
