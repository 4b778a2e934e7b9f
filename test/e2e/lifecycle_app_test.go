package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	appRereads = time.Second // the kubelet takes longer to update a volume
	appSenders = 50
	appPause   = 100 * time.Millisecond // of one sender between two requests: 500 a second from all of them
)

// app reads its Secret once a second, and sends requests with the key that it has read through a reverse proxy.
type app struct {
	cancel context.CancelFunc
	loops  sync.WaitGroup
	url    string
	client *http.Client
	key    atomic.Pointer[string]

	mu      sync.Mutex
	read    []string // all keys that it had
	sent    int
	refused []string // all responses that are not from the content server
}

// contentServer responds 204, as no integration does.
func (w *world) contentServer() *httptest.Server {
	content := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	w.t.Cleanup(content.Close)
	return content
}

// startApp runs an app until it is stopped.
func (w *world) startApp(secret string, v *validator) *app {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	a := &app{
		cancel: cancel, url: "http://" + v.listens.Proxy.String() + "/mkt/scene",
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: appSenders}},
	}
	w.t.Cleanup(a.client.CloseIdleConnections)
	a.reread(w.plaintext(secret))
	a.loops.Go(func() {
		every(ctx, appRereads, func() {
			mounted := &corev1.Secret{}
			if err := w.admin.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: secret}, mounted); err == nil {
				a.reread(string(mounted.Data[v1alpha1.SecretKeyAPIKey]))
			} else if ctx.Err() == nil {
				a.note(fmt.Sprintf("Secret %s: %v", secret, err))
			}
		})
	})
	for range appSenders {
		a.loops.Go(func() { every(ctx, appPause, func() { a.send(context.WithoutCancel(ctx)) }) })
	}
	w.t.Cleanup(func() { a.stop() })
	return a
}

// every calls do periodically, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func (a *app) reread(key string) {
	if last := a.key.Swap(&key); last != nil && *last == key {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.read = append(a.read, key)
}

func (a *app) send(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, http.NoBody)
	if err != nil {
		a.note(err.Error())
		return
	}
	request.Header.Set("Authorization", "Bearer "+*a.key.Load())
	switch response, err := a.client.Do(request); {
	case err != nil:
		a.note(err.Error())
	case response.StatusCode != http.StatusNoContent:
		_ = response.Body.Close()
		a.note(response.Status)
	default:
		_ = response.Body.Close()
		a.note("")
	}
}

func (a *app) note(refusal string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent++
	if refusal != "" {
		a.refused = append(a.refused, time.Now().Format(time.TimeOnly)+" "+refusal)
	}
}

// awaits waits until the app has read the key that its Secret has now.
func (a *app) awaits(w *world, secret string) {
	w.t.Helper()
	key := w.plaintext(secret)
	eventually(w.t, "the app to read its Secret", patience, func() error {
		if *a.key.Load() != key {
			return errors.New("it has an earlier key")
		}
		return nil
	})
}

// stop ends the app and returns how many requests it sent, which of them the content server did not answer, and the keys
// that it had.
func (a *app) stop() (sent int, refused, read []string) {
	a.cancel()
	a.loops.Wait()
	return a.sent, a.refused, a.read
}

// slowLine is a connection to the leader that opens at once. After it is no longer young, what the leader sends is delayed.
type slowLine struct {
	world   *world
	address string
	delay   time.Duration
	// connected is when the last connection was made, in nanoseconds.
	connected atomic.Int64
}

// young is how long a connection is not delayed, because it is still catching up.
const young = 2 * time.Second

func (w *world) slowLine(delay time.Duration) *slowLine {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = listener.Close() })
	line := &slowLine{world: w, address: listener.Addr().String(), delay: delay}
	go func() {
		for {
			server, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go line.carry(server)
		}
	}()
	return line
}

// awaitSlow waits until what the leader sends is delayed.
func (l *slowLine) awaitSlow() {
	l.world.t.Helper()
	eventually(l.world.t, "the line to be slow", patience, func() error {
		if at := l.connected.Load(); at == 0 || time.Since(time.Unix(0, at)) <= young {
			return errors.New("its connection is young")
		}
		return nil
	})
}

// carry connects a validation server with the leader until either end closes.
func (l *slowLine) carry(server net.Conn) {
	defer func() { _ = server.Close() }()
	manager, err := net.DialTimeout("tcp", l.world.syncAddress, time.Second)
	if err != nil {
		return
	}
	defer func() { _ = manager.Close() }()
	begin := time.Now()
	l.connected.Store(begin.UnixNano())
	go func() {
		defer func() { _ = manager.Close() }()
		_, _ = io.Copy(manager, server) // until either end closes
	}()
	type chunk struct {
		data []byte
		due  time.Time
	}
	chunks := make(chan chunk, 1<<16)
	go func() {
		defer close(chunks)
		for {
			buffer := make([]byte, 1<<15)
			n, err := manager.Read(buffer)
			if err != nil {
				return
			}
			due := time.Now()
			if due.Sub(begin) > young {
				due = due.Add(l.delay)
			}
			chunks <- chunk{buffer[:n], due}
		}
	}()
	for c := range chunks {
		time.Sleep(time.Until(c.due)) // the delay of the line
		if _, err := server.Write(c.data); err != nil {
			return
		}
	}
}
