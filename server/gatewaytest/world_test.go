package gatewaytest

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/api/keyformat"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/clientaddr"
	"github.com/keyward-dev/keyward/server/forwardauth"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/httpwire"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/throttle"
)

// Clients other than the proxy's own address, which is trusted.
const (
	usualClient   = "127.0.0.2"
	failingClient = "127.0.0.3"
)

// world is what a gateway stands between.
type world struct {
	keyward, content, key string

	seen chan http.Header
}

func newWorld(t *testing.T) *world {
	t.Helper()
	minted, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	log, digest := slog.New(slog.DiscardHandler), minted.Digest()
	s, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(&syncv1.Update{CaughtUp: true,
		Groups: []*syncv1.Group{{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE, Context: map[string]string{"bucketName": "acme-media"},
			Projects: []*syncv1.Project{{Name: "media", Routes: []*syncv1.Route{{Hosts: []string{"cdn.acme.example"}, Paths: []string{"/media/**"}}},
				Origins: &syncv1.OriginPolicy{Patterns: []string{page}, AllowMissing: true}}}}},
		Keys: []*syncv1.Key{{Id: "k1", Group: "tenants/acme", Projects: []string{"media"}, Permissions: []string{"read"}, Versions: []*syncv1.Version{{Digest: digest[:]}}}},
	}); err != nil {
		t.Fatal(err)
	}
	const failures = 100
	limit, now := throttle.New(throttle.Config{Failures: failures, IPv6Prefix: 64}), time.Now()
	for range failures {
		limit.Fail(netip.MustParseAddr(failingClient), now)
	}
	mux := http.NewServeMux()
	forwardauth.Register(mux, gate.New(s, func() time.Time { return now }, log, prometheus.NewRegistry(), gate.WithThrottle(limit)),
		clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, clientaddr.HeaderXForwardedFor))

	w := &world{key: minted.Reveal(), seen: make(chan http.Header, 1)}
	w.keyward = serve(t, mux)
	w.content = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.seen <- r.Header
		rw.Header().Set("X-Request-Id", "of-the-upstream")
		if strings.HasSuffix(r.URL.Path, "/cors") {
			rw.Header().Set("Access-Control-Allow-Origin", "https://theirs.example")
		}
		if strings.HasSuffix(r.URL.Path, "/teapot") {
			rw.WriteHeader(http.StatusForbidden)
		}
	}))
	return w
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// outcome is what client and content server see.
type outcome struct {
	status  int
	header  http.Header
	body    []byte
	problem httpwire.Problem
	seen    http.Header // nil where nothing arrived
}

// exchange sends a request as it stands.
func (w *world) exchange(t *testing.T, address string, e exchange) outcome {
	t.Helper()
	client, lines := usualClient, ""
	for _, line := range e.headers {
		if line == "Client: failing" {
			client = failingClient
			continue
		}
		lines += strings.ReplaceAll(line, "{key}", w.key) + "\r\n"
	}
	method, target := "GET", "/media/1"
	if e.method != "" {
		method = e.method
	}
	if e.target != "" {
		target = e.target
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: 5 * time.Second}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: cdn.acme.example\r\nConnection: close\r\n%s\r\n", method, target, lines); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	o := outcome{status: response.StatusCode, header: response.Header}
	if o.body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(o.body, &o.problem) // what is none has no code
	select {
	case o.seen = <-w.seen:
	default:
	}
	return o
}

// shipped returns a configuration as it is shipped, with the addresses of this test.
func shipped(t *testing.T, path string, replacements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../config/gateways", path))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(string(text), replacements[i]) {
			t.Fatalf("no %q in %s", replacements[i], path)
		}
	}
	return strings.NewReplacer(replacements...).Replace(string(text))
}

func startNginx(t *testing.T, keyward, content string) string {
	t.Helper()
	program, dir, address := installed(t, "nginx"), t.TempDir(), freeAddress(t)
	site := shipped(t, "nginx/keyward.conf", "127.0.0.1:8081", keyward, "127.0.0.1:9000", content, "listen 8080", "listen "+address)
	write(t, filepath.Join(dir, "keyward.conf"), site)
	main := filepath.Join(dir, "nginx.conf")
	write(t, main, fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr error;
events {}
http {
	access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	include %[1]s/keyward.conf;
}
`, dir))
	run(t, dir, program, "-e", "stderr", "-p", dir, "-c", main)
	return address
}

func startCaddy(t *testing.T, keyward, content string) string {
	t.Helper()
	program, dir, address := installed(t, "caddy"), t.TempDir(), freeAddress(t)
	site := shipped(t, "caddy/Caddyfile", "127.0.0.1:8081", keyward, "127.0.0.1:9000", content, ":8080 {", "http://:"+portOf(address)+" {")
	main := filepath.Join(dir, "Caddyfile")
	write(t, main, "{\n\tadmin off\n}\n"+site)
	run(t, dir, program, "run", "--config", main)
	return address
}

func startHAProxy(t *testing.T, keyward, content string) string {
	t.Helper()
	program, dir, address := installed(t, "haproxy"), t.TempDir(), freeAddress(t)
	write(t, filepath.Join(dir, "keyward.lua"), shipped(t, "haproxy/keyward.lua", "127.0.0.1:8081", keyward))
	main := filepath.Join(dir, "haproxy.cfg")
	write(t, main, shipped(t, "haproxy/haproxy.cfg", "127.0.0.1:8080", address, "127.0.0.1:9000", content, "lua-load ", "lua-load "+dir+"/"))
	run(t, dir, program, "-db", "-f", main)
	return address
}

func startTraefik(t *testing.T, keyward, content string) string {
	t.Helper()
	program := filepath.Join("../../bin", "traefik")
	if _, err := os.Stat(program); err != nil {
		program = installed(t, "traefik")
	}
	program, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	dynamic := filepath.Join(dir, "keyward.yaml")
	write(t, dynamic, shipped(t, "traefik/keyward.yaml", "127.0.0.1:8081", keyward, "127.0.0.1:9000", content))
	main := filepath.Join(dir, "traefik.yaml")
	write(t, main, shipped(t, "traefik/traefik.yaml", "127.0.0.1:8080", address, "keyward.yaml\n\n", dynamic+"\n\n"))
	run(t, dir, program, "--configFile="+main)
	waitFor(t, address)
	// It listens before it has read what to do with requests.
	await(t, "Traefik's routes", func() bool {
		response, err := http.Get("http://" + address)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode != http.StatusNotFound
	})
	return address
}

func installed(t *testing.T, name string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (see hack/install-gateways.sh, make bin/traefik)", name)
	}
	return program
}

// run starts a program that ends with the test.
func run(t *testing.T, home, program string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func waitFor(t *testing.T, address string) {
	t.Helper()
	await(t, address, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// await waits for a condition.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
