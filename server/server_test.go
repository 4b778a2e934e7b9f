package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/options"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// logBuffer is a bytes.Buffer for a logger and a test.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// validator is a whole validator in the test's process.
type validator struct {
	addresses Addresses
	stop      context.CancelFunc
	done      chan error
	logs      *logBuffer
}

func configFor(t *testing.T, m *fakemanager.Manager, args ...string) options.Config {
	t.Helper()
	args = append([]string{
		"--proxy-bind-address=127.0.0.1:0", "--http-bind-address=127.0.0.1:0", "--grpc-bind-address=127.0.0.1:0",
		"--admin-bind-address=127.0.0.1:0",
		"--sync-address=" + m.Address, "--sync-server-name=" + fakemanager.ServerName, "--sync-ca-file=" +
			m.CAFile, "--sync-token-file=" + m.TokenFile,
		"--shutdown-delay=500ms", "--log-level=debug",
	}, args...)
	config, err := options.Parse(args, "validator-0", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func start(t *testing.T, config options.Config) *validator {
	t.Helper()
	logs := &logBuffer{}
	s, err := New(config, slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	v := &validator{addresses: s.Addresses(), stop: stop, done: make(chan error, 1), logs: logs}
	go func() { v.done <- s.Run(ctx); close(v.done) }()
	t.Cleanup(func() {
		stop()
		for range v.done { // until it is closed
		}
	})
	return v
}

func get(t *testing.T, address net.Addr, path, key string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address.String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// catchUp is a snapshot with one key.
func catchUp(key keyformat.Key) *syncv1.Update {
	update := fixture.Update(key)
	update.Groups[0].Projects[0].Origins.AllowLocalhost = true
	return update
}

func upstream(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprintf(w, "group=%s auth=%q", r.Header.Get("X-Keyward-Group"), r.Header.Get("Authorization"))
}

// TestLifetime follows a validator: not ready, synced, disconnected from its manager, restarted without it, and notified
// of a revocation.
func TestLifetime(t *testing.T) { bothPositions(t, testLifetime) }

func testLifetime(t *testing.T, flag string) {
	m := fakemanager.Start(t)
	key := fixture.Mint(t)
	config := configFor(t, m, flag, "--upstream="+upstream(t, echo), "--snapshot-dir="+t.TempDir(), "--usage-timeout=100ms")
	v := start(t, config)
	stream := m.Next()
	if status, body := get(t, v.addresses.Admin, "/readyz", ""); status != 503 {
		t.Errorf("ready before the first snapshot: %s", body)
	}
	if status, _ := get(t, v.addresses.Admin, "/healthz", ""); status != 200 {
		t.Error("not healthy")
	}
	if status, body := get(t, v.addresses.Proxy, "/x", key.Reveal()); status != 503 || !strings.Contains(body, `"not_synced"`) {
		t.Errorf("before the first snapshot: %d %s", status, body)
	}
	stream.Send(catchUp(key))
	if status, _ := get(t, v.addresses.Admin, "/readyz", ""); status != 200 {
		t.Error("not ready")
	}
	if status, body := get(t, v.addresses.Proxy, "/x", key.Reveal()); status != 200 || body != `group=tenants/acme auth=""` {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(t, v.addresses.Proxy, "/x", ""); status != 401 || !strings.Contains(body, `"key_missing"`) {
		t.Errorf("%d %s", status, body)
	}
	metrics := metricsOf(t, v)
	for _, want := range []string{
		`keyward_validator_connected 1`, `keyward_validator_synced 1`, `keyward_validator_records{kind="key"} 1`,
		`keyward_validator_decisions_total{code="allowed",integration="reverseproxy"} 1`,
		`keyward_validator_decisions_total{code="key_missing",integration="reverseproxy"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s", want)
		}
	}

	m.Stop()
	if status, _ := get(t, v.addresses.Proxy, "/x", key.Reveal()); status != 200 {
		t.Error("it does not decide without its manager")
	}
	v.stop()
	if err := <-v.done; err != nil {
		t.Fatal(err)
	}
	restarted := start(t, config)
	if status, _ := get(t, restarted.addresses.Proxy, "/x", key.Reveal()); status != 200 {
		t.Error("it does not start from its snapshot")
	}
	m.Restart()
	stream = m.Next()
	if len(stream.Hello.GetKnown()) != 1 {
		t.Error("it does not report what it knows")
	}
	stream.Send(&syncv1.Update{Revision: 2, CaughtUp: true, DeletedKeys: []string{"k1"}})
	if status, body := get(t, restarted.addresses.Proxy, "/x", key.Reveal()); status != 401 || !strings.Contains(body, `"key_unknown"`) {
		t.Errorf("after the revocation: %d %s", status, body)
	}
	for name, text := range map[string]string{"log": v.logs.String() + restarted.logs.String(),
		"metrics": metrics + metricsOf(t, restarted)} {
		if strings.Contains(text, key.Reveal()) || strings.Contains(text, fakemanager.Token) {
			t.Errorf("a secret is in the %s", name)
		}
	}
}

func metricsOf(t *testing.T, v *validator) string {
	t.Helper()
	_, metrics := get(t, v.addresses.Admin, "/metrics", "")
	return metrics
}

// TestShutdownDropsNothing stops a validator under load, which goes elsewhere once the validator is not ready: every
// request gets its response, also those in flight when it stops accepting, and only then the validator tells the manager
// that it leaves.
func TestShutdownDropsNothing(t *testing.T) {
	bothPositions(t, shutdownDropsNothing)
}

func shutdownDropsNothing(t *testing.T, flag string) {
	t.Parallel()
	m := fakemanager.Start(t)
	key := fixture.Mint(t)
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	v := start(t, configFor(t, m, flag, "--shutdown-delay=5s", "--upstream="+upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		echo(w, r)
	})))
	stream := m.Next()
	stream.Send(catchUp(key))

	proxy := "http://" + v.addresses.Proxy.String()
	var clients sync.WaitGroup
	for range cap(arrived) {
		clients.Go(func() {
			if err := load(t.Context(), proxy+"/slow", key); err != nil {
				t.Errorf("in flight: %v", err)
			}
		})
		<-arrived
	}
	var served atomic.Int64
	var notReady atomic.Bool // as a load balancer sees it
	for range 4 {
		clients.Go(func() {
			for !notReady.Load() {
				if err := load(t.Context(), proxy+"/quick", key); err != nil {
					t.Errorf("dropped: %v", err)
				}
				served.Add(1)
			}
		})
	}
	waitFor(t, "the load is on", func() bool { return served.Load() > 100 })
	v.stop()
	waitFor(t, "it is not ready while it drains", func() bool {
		status, _ := get(t, v.addresses.Admin, "/readyz", "")
		return status == http.StatusServiceUnavailable
	})
	notReady.Store(true)
	waitFor(t, "it stops accepting", func() bool { return load(t.Context(), proxy+"/quick", key) != nil })
	select {
	case err := <-stream.Ended:
		t.Errorf("goodbye before the last response: %v", err)
	case err := <-v.done:
		t.Errorf("ended before the last response: %v", err)
	default:
	}
	close(release)
	clients.Wait()
	if err := <-v.done; err != nil {
		t.Error(err)
	}
	if err := stream.Goodbye(); err != nil {
		t.Errorf("goodbye: %v", err)
	}
	t.Logf("%d quick requests served meanwhile", served.Load())
}

// load sends one request and checks its response. The body cannot be sent twice, so that no client repeats the request
// automatically.
func load(ctx context.Context, target string, key keyformat.Key) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, io.NopCloser(strings.NewReader("once")))
	if err != nil {
		return err
	}
	request.Header.Set("X-Api-Key", key.Reveal())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "group=")) {
		err = fmt.Errorf("%d %s", response.StatusCode, body)
	}
	return err
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("timed out: %s", what)
		}
	}
}

func TestInvalidConfigurationFailsAtOnce(t *testing.T) {
	m := fakemanager.Start(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for flag, value := range map[string]string{
		"--http-bind-address": taken.Addr().String(), "--grpc-bind-address": taken.Addr().String(),
		"--admin-bind-address": taken.Addr().String(), "--snapshot-dir": "/dev/null/x", "--admin-token-file": "/dev/null",
	} {
		_, err := New(configFor(t, m, flag+"="+value), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}
