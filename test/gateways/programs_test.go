package gateways

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/hack/ports"
)

// shipped returns a configuration as it is shipped, with the addresses of this test.
func shipped(t testing.TB, path string, replacements ...string) string {
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

// named returns the address that a gateway asks, with the project if there is one.
func (w *world) named(address, before, end string) string {
	if w.project == "" {
		return address + end
	}
	return address + before + w.project + end
}

func startNginx(t testing.TB, w *world) string {
	t.Helper()
	keyward, content := w.keyward, w.content
	program, dir, address := installed(t, "nginx"), t.TempDir(), freeAddress(t)
	site := shipped(t, "nginx/keyward.conf", "/authz/nginx;", w.named("/authz/nginx", "?project=", ";"), "127.0.0.1:8081",
		keyward, "127.0.0.1:9000", content, "listen 8080", "listen "+address, "/var/log/nginx/keyward.log", filepath.Join(dir, "access.log"),
		"/var/log/nginx/keyward-error.log", filepath.Join(dir, "error.log"))
	write(t, filepath.Join(dir, "keyward.conf"), site)
	main := filepath.Join(dir, "nginx.conf")
	write(t, main, fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	ignore_invalid_headers off; underscores_in_headers on; # as somebody else's site may want it
	include %[1]s/keyward.conf;
}
`, dir))
	w.run(t, dir, program, "-e", "stderr", "-p", dir, "-c", main)
	return address
}

func startCaddy(t testing.TB, w *world) string {
	t.Helper()
	keyward, content := w.keyward, w.content
	program, dir, address := installed(t, "caddy"), t.TempDir(), freeAddress(t)
	site := shipped(t, "caddy/Caddyfile", "rewrite /authz/caddy?", w.named("rewrite /authz/caddy", "/projects/", "?"),
		"127.0.0.1:8081", keyward, "127.0.0.1:9000", content, ":8080 {", "http://:"+portOf(address)+" {", "\tlog default {", "\tadmin off\n\tlog default {")
	main := filepath.Join(dir, "Caddyfile")
	if w.keysInURLs { // with a log of requests, too
		_, format, _ := strings.Cut(site, "\t\tformat filter {")
		format, _, _ = strings.Cut(format, "\n\t}\n")
		site = strings.Replace(site, "\troute {\n\t\t# Only", "\tlog {\n\t\tformat filter {"+format+"\n\t}\n\troute {\n\t\t# Only", 1)
	}
	write(t, main, site)
	w.run(t, dir, program, "run", "--config", main)
	return address
}

func startHAProxy(t testing.TB, w *world) string {
	t.Helper()
	keyward, content := w.keyward, w.content
	program, dir, address := installed(t, "haproxy"), t.TempDir(), freeAddress(t)
	write(t, filepath.Join(dir, "keyward.lua"), shipped(t, "haproxy/keyward.lua", "127.0.0.1:8081", keyward))
	main := filepath.Join(dir, "haproxy.cfg")
	action := "lua.keyward -"
	if w.project != "" {
		action = "lua.keyward " + w.project
	}
	write(t, main, shipped(t, "haproxy/haproxy.cfg", "#log", "log", "lua.keyward -", action, "127.0.0.1:8080", address, "127.0.0.1:9000",
		content, "lua-load ", "lua-load "+dir+"/"))
	w.run(t, dir, program, "-db", "-f", main)
	return address
}

func startTraefik(t testing.TB, w *world) string {
	t.Helper()
	keyward, content := w.keyward, w.content
	program := filepath.Join("../../bin", "traefik")
	if _, err := os.Stat(program); err != nil {
		program = installed(t, "traefik")
	}
	program, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	dynamic := filepath.Join(dir, "dynamic", "keyward.yaml")
	if err := os.Mkdir(filepath.Dir(dynamic), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dynamic, shipped(t, "traefik/keyward.yaml", "/authz/traefik\n", w.named("/authz/traefik", "?project=", "\n"),
		"path: /authz/traefik/preflights", w.named("path: /authz/traefik/preflights", "/projects/",
			""), "127.0.0.1:8081", keyward, "127.0.0.1:9000", content))
	main := filepath.Join(dir, "traefik.yaml")
	provider := "filename: " + dynamic
	if w.keysInURLs {
		provider = "directory: " + filepath.Dir(dynamic)
		write(t, filepath.Join(filepath.Dir(dynamic), "keys-in-urls.yaml"), shipped(t, "traefik/keys-in-urls.yaml", "127.0.0.1:8084",
			serveStrictly(t, w.proxy)))
	}
	write(t, main, shipped(t, "traefik/traefik.yaml", "127.0.0.1:8080", address, "filename: keyward.yaml\n", provider+"\n"))
	w.run(t, dir, program, "--configFile="+main)
	waitFor(t, address)
	// It listens before it has read its configuration for requests.
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

// startProxy starts the validation server's own reverse proxy.
func startProxy(t testing.TB, w *world) string {
	t.Helper()
	return serveStrictly(t, w.proxy)
}

func installed(t testing.TB, name string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (see hack/install-gateways.sh, make bin/traefik)", name)
	}
	return program
}

// written is what a program has written, to its output and into files of its directory.
type written struct {
	mu     sync.Mutex
	output strings.Builder
	home   string
}

// Write implements io.Writer.
func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.output.Write(p)
}

// text returns everything.
func (w *written) text(t testing.TB) string {
	t.Helper()
	w.mu.Lock()
	all := w.output.String()
	w.mu.Unlock()
	names, err := filepath.Glob(filepath.Join(w.home, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

// run starts a program that ends with the test, and keeps its logs.
func (w *world) run(t testing.TB, home, program string, args ...string) {
	t.Helper()
	w.logs = append(w.logs, run(t, home, program, args...))
}

// run starts a program that ends with the test.
func run(t testing.TB, home, program string, args ...string) *written {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	output := &written{home: home}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			said := output.text(t)
			t.Log(said[max(0, len(said)-4<<10):])
		}
	})
	return output
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func waitFor(t testing.TB, address string) {
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
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
