package admissionserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
)

// Loopback addresses: of the API server, and of a hostile client.
const theirs, hostile = "127.0.0.1", "127.0.0.2"

// port is a webhook server, as the manager runs it.
type port struct {
	address string
	roots   *x509.CertPool
}

// open serves the hook at /hook.
func open(t *testing.T, hook http.HandlerFunc) port {
	t.Helper()
	ours := newAuthority(t)
	serving := ours.issue(t)
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	server, err := admissionserver.New(admissionserver.Options{
		Address: address, Clock: clock.RealClock{},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &serving, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Register("/hook", hook)
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	for ready := server.StartedChecker(); ready(nil) != nil; {
		select {
		case err := <-stopped:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(ours.certificate)
	return port{address, roots}
}

// dial connects from an address of the loopback.
func (p port) dial(ctx context.Context, from string, protocols ...string) (*tls.Conn, error) {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second},
		Config:    &tls.Config{RootCAs: p.roots, ServerName: "localhost", NextProtos: protocols},
	}
	connection, err := dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return connection.(*tls.Conn), nil
}

// client is like that of the API server: it uses HTTP/2 if the server supports that.
func (p port) client(t *testing.T, from string, wait time.Duration) *http.Client {
	transport := &http.Transport{
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
		TLSClientConfig:   &tls.Config{RootCAs: p.roots, ServerName: "localhost"},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: wait}
}

// ask sends an admission review with this number of bytes.
func (p port) ask(client *http.Client, bytes int) error {
	response, err := client.Post("https://"+p.address+"/hook", "application/json", strings.NewReader(`"`+strings.Repeat("x", bytes-2)+`"`))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		return errors.Join(errors.New(response.Status), err)
	}
	return nil
}

// TestSlowSenders: clients that declare much and send little keep nobody out, however often they reconnect.
func TestSlowSenders(t *testing.T) {
	for name, test := range map[string]struct {
		head string
		send int // bytes of the body
		from string
		// large is the size of the largest request that succeeds beside them; clients with the same address
		// as the API server, for instance behind a NAT, share its part of the memory for large requests.
		large int
	}{
		"almost nothing of much":        {"Content-Length: 4000000", 1, hostile, 4 << 20},
		"almost all of much":            {"Content-Length: 4000000", 3_900_000, hostile, 3 << 20},
		"almost all of little":          {"Content-Length: 65536", 65535, hostile, 4 << 20},
		"nothing of it":                 {"Content-Length: 4000000\r\nExpect: 100-continue", 0, hostile, 4 << 20},
		"from the API server's address": {"Content-Length: 4000000", 1, theirs, 60 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			ctx, stop := context.WithCancel(t.Context())
			var senders sync.WaitGroup
			defer senders.Wait()
			defer stop()
			var sending sync.WaitGroup
			senderCount := 200
			if test.send > 1<<20 { // which costs this process more than the server
				senderCount = 50
			}
			for range senderCount {
				sending.Add(1)
				first := sync.OnceFunc(sending.Done)
				senders.Go(func() {
					for ctx.Err() == nil {
						p.stall(ctx, test.from, test.head, test.send, first)
					}
					first()
				})
			}
			sending.Wait()
			// A generous bound for a busy machine; the API server waits for ten seconds.
			for i := range 4 {
				client := p.client(t, theirs, 9*time.Second)
				if err := p.ask(client, 2000); err != nil {
					t.Fatalf("small request %d: %v", i, err)
				}
				client.CloseIdleConnections()
			}
			// All senders are in this process, and can take the processors from a large body until its time is over. Without the
			// defence none of them succeeds.
			client := p.client(t, theirs, 9*time.Second)
			defer client.CloseIdleConnections()
			err := p.ask(client, test.large)
			for tries := 1; err != nil && tries < 12; tries++ {
				err = p.ask(client, test.large)
			}
			if err != nil {
				t.Fatalf("large request: %v", err)
			}
		})
	}
}

// stall starts a request and waits until the server gives up.
func (p port) stall(ctx context.Context, from, head string, send int, sent func()) {
	connection, err := p.dial(ctx, from)
	if err != nil {
		return
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.NetConn().Close() })()
	if _, err := fmt.Fprintf(connection, "POST /hook HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", head,
		strings.Repeat("x", min(send, 1))); err != nil {
		return
	}
	sent()
	if send > 1 {
		_, _ = io.WriteString(connection, strings.Repeat("x", send-1))
	}
	_, _ = io.Copy(io.Discard, connection)
}

// TestProtocol: with HTTP/2, bodies of a peer would be buffered before a handler reads them.
func TestProtocol(t *testing.T) {
	p := open(t, func(http.ResponseWriter, *http.Request) {})
	connection, err := p.dial(t.Context(), theirs, "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if got := connection.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("the protocol is %q", got)
	}
	if err := p.ask(p.client(t, theirs, 10*time.Second), 2000); err != nil {
		t.Error(err)
	}
	if _, err := fmt.Fprintf(connection, "POST /hook HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("with a header of 64 KiB: %s", response.Status)
	}
}

// TestManyConnections: the connections of one address are limited, and a client that has few keeps them.
func TestManyConnections(t *testing.T) {
	p := open(t, func(http.ResponseWriter, *http.Request) {})
	ours := p.client(t, theirs, 10*time.Second)
	if err := p.ask(ours, 2000); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, 2000)
	const connections, most = 1500, 1024
	for range connections {
		connection, err := net.DialTimeout("tcp", p.address, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		go func() {
			_, _ = io.Copy(io.Discard, connection)
			closed <- struct{}{}
		}()
	}
	after := time.After(4 * time.Second) // less than the time limit of the TLS handshake
	for n := range connections - most {
		select {
		case <-closed:
		case <-after:
			t.Fatalf("%d of %d connections were closed", n, connections)
		}
	}
	if err := p.ask(p.client(t, theirs, 10*time.Second), 2000); err != nil {
		t.Error(err)
	}
}

// TestUnreadResponses: clients that do not read their responses delay nobody.
func TestUnreadResponses(t *testing.T) {
	text := make([]byte, 64<<10)
	p := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
	for range 200 { // each with more than what is buffered on the way
		connection, err := p.dial(t.Context(), theirs)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.NetConn().Close()
		if tcp, ok := connection.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096)
		}
		for range 160 {
			if _, err := io.WriteString(connection, "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.ask(p.client(t, theirs, 5*time.Second), 2000); err != nil {
		t.Error(err)
	}
}

// TestUnusedConnections: an API server opens a connection for a review, sends the review on another one that has become free
// meanwhile, and uses the first one later. If the server had closed it, the change that it is about could fail.
func TestUnusedConnections(t *testing.T) {
	t.Parallel() // it waits
	p := open(t, func(http.ResponseWriter, *http.Request) {})
	connection, err := p.dial(t.Context(), theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetReadDeadline(time.Now().Add(6 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("nothing was sent, and the connection ended: %v", err)
	}
	if err := connection.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(connection, "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", response, err)
	}
	_ = response.Body.Close()
}
