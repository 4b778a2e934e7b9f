package gateways

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// contentReader is a content server that reports how it reads requests.
type contentReader struct {
	pool

	name string
	// ignoresCase is about paths: it cannot serve requests that are decided with case.
	ignoresCase bool
	// dropsParameters: it reads "/a;b" as "/a".
	dropsParameters bool
	// decodesNothing: its router compares paths as they were sent.
	decodesNothing bool
}

// pool has connections to one server, on which anything can be sent.
type pool struct {
	address string
	mu      sync.Mutex
	idle    []*rawConn
}

type rawConn struct {
	net.Conn

	responses *bufio.Reader
}

// startReaders starts each that is installed. They end with the test.
func startReaders(t testing.TB) []*contentReader {
	t.Helper()
	readers := []*contentReader{newReader("Go", serveReader(t, goReader()))}
	for _, start := range []func(testing.TB) []*contentReader{startPHP, startNode, startPython, startTomcat} {
		readers = append(readers, start(t)...)
	}
	for _, r := range readers {
		waitFor(t, r.address)
	}
	t.Cleanup(func() {
		for _, r := range readers {
			r.close()
		}
	})
	return readers
}

// minding are those that compare paths byte by byte.
func minding(readers []*contentReader) []*contentReader {
	return slices.DeleteFunc(slices.Clone(readers), func(r *contentReader) bool { return r.ignoresCase })
}

// stillThere is for the end of a test: a reader that has ended would have refused everything since.
func stillThere(t testing.TB, readers []*contentReader) {
	t.Helper()
	well := spelling{Target: "/x"}
	for _, r := range readers {
		if _, err := r.read(context.Background(), well.raw("key"), http.MethodGet); err != nil {
			t.Errorf("%s has not come through: %v", r.name, err)
		}
	}
}

func newReader(name, address string) *contentReader {
	return &contentReader{pool: pool{address: address}, name: name}
}

// missing reports which reader is not installed. If everything that hack/install-gateways.sh installs is required, it is a
// failure.
func missing(t testing.TB, what string, err error) []*contentReader {
	t.Helper()
	if os.Getenv("KEYWARD_READERS") == "all" {
		t.Fatalf("%s cannot read along: %v (see hack/install-gateways.sh)", what, err)
	}
	t.Logf("%s DOES NOT READ ALONG: %v (see hack/install-gateways.sh)", what, err)
	return nil
}

func sourceOf(t testing.TB, path string) string {
	t.Helper()
	source, err := filepath.Abs(filepath.Join("testdata/readers", path))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func startPHP(t testing.TB) []*contentReader {
	program, err := exec.LookPath("php")
	if err != nil {
		return missing(t, "PHP", err)
	}
	address := freeAddress(t)
	run(t, t.TempDir(), program, "-n", "-d", "max_input_vars=100000", "-S", address, sourceOf(t, "php/reader.php"))
	found := []*contentReader{newReader("PHP", address)}
	// And one that looks for files itself, as servers of scripts do: the path below a file is its PATH_INFO.
	root := t.TempDir()
	source, err := os.ReadFile(sourceOf(t, "php/file.php"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.php", "index.php"} {
		if err := os.WriteFile(filepath.Join(root, name), source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address = freeAddress(t)
	run(t, root, program, "-n", "-d", "max_input_vars=100000", "-S", address, "-t", root)
	return append(found, newReader("PHP, by file", address))
}

// startNode starts three of them on ports in a row: Node itself, and Express without and with regard to case.
func startNode(t testing.TB) []*contentReader {
	program, err := exec.LookPath("node")
	if err != nil {
		return missing(t, "Node", err)
	}
	modules, err := filepath.Abs("../../bin/readers/node/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	args := []string{sourceOf(t, "node/reader.js"), portOf(addresses[0]), portOf(addresses[1]), portOf(addresses[2])}
	found := []*contentReader{newReader("Node", addresses[0])}
	if _, err := os.Stat(filepath.Join(modules, "express")); err != nil {
		missing(t, "Express", err)
	} else {
		args = append(args, modules)
		express, sensitive := newReader("Express", addresses[1]), newReader("Express, case sensitive", addresses[2])
		express.ignoresCase, express.decodesNothing, sensitive.decodesNothing = true, true, true
		found = append(found, express, sensitive)
	}
	run(t, t.TempDir(), program, args...)
	return found
}

// startPython prefers the system's own to one that a version manager chooses by the working directory.
func startPython(t testing.TB) []*contentReader {
	program, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		if program, err = exec.LookPath("python3"); err != nil {
			return missing(t, "Python", err)
		}
	}
	address := freeAddress(t)
	run(t, t.TempDir(), program, sourceOf(t, "python/reader.py"), portOf(address))
	python := newReader("Python", address)
	python.dropsParameters = true // urlparse does, of the last segment
	return []*contentReader{python}
}

func startTomcat(t testing.TB) []*contentReader {
	program, err := exec.LookPath("java")
	if err == nil {
		_, err = exec.LookPath("javac") // otherwise it compiles nothing
	}
	if err != nil {
		return missing(t, "Tomcat", err)
	}
	jars, err := filepath.Glob("/usr/share/java/tomcat10-embed-core-*.jar")
	if err != nil || len(jars) == 0 {
		return missing(t, "Tomcat", errors.Join(err, errors.New("no tomcat10-embed-core in /usr/share/java")))
	}
	address := freeAddress(t)
	run(t, t.TempDir(), program, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", jars[len(jars)-1], sourceOf(t, "java/Reader.java"),
		portOf(address))
	tomcat := newReader("Tomcat", address)
	tomcat.dropsParameters = true
	return []*contentReader{tomcat}
}

func serveReader(t testing.TB, handler http.Handler) string {
	server := httptest.NewUnstartedServer(handler)
	server.Config.MaxHeaderBytes = 1 << 20
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// goReader reads as net/http does.
func goReader() http.Handler {
	read := func(class string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			params := func(query url.Values) map[string][]string {
				return map[string][]string{"siteId": slices.Clone(query["siteId"]), "tenant_id": slices.Clone(query["tenant_id"])}
			}
			parsed, _ := url.ParseQuery(r.URL.RawQuery)
			whole, err := url.ParseRequestURI(r.RequestURI)
			if err != nil {
				whole = r.URL
			}
			_ = json.NewEncoder(w).Encode(&reading{
				Classes: map[string]string{"ServeMux": class},
				Paths:   map[string]string{"URL.Path": r.URL.Path, "ParseRequestURI": whole.Path},
				Params: map[string]map[string][]string{"URL.Query": params(r.URL.Query()), "ParseQuery": params(parsed),
					"ParseRequestURI": params(whole.Query()),
					"ParseInt":        numbers(params(parsed), 10), "ParseInt, any base": numbers(params(parsed), 0)},
				Hosts:   map[string]string{"Host": r.Host},
				Methods: map[string]string{"Method": r.Method},
			})
		}
	}
	mux := http.NewServeMux()
	for _, pattern := range []struct{ path, class string }{
		{"/", classWebsite}, {"/secret", classSecret}, {"/secret/", classSecret}, {"/report", classSecret}, {"/report/{$}",
			classSecret}, {"/report.php", classSecret}, {"/report.php/", classSecret}, {"/docs/tree", classTree},
		{"/docs/tree/", classTree},
		{"/q", classQuery}, {"/q/", classQuery}, {"/t", classTenant}, {"/t/", classTenant},
	} {
		mux.Handle(pattern.path, read(pattern.class))
	}
	return mux
}

// numbers are the parameters as numbers. What is none stays as it is.
func numbers(params map[string][]string, base int) map[string][]string {
	for _, values := range params {
		for i, value := range values {
			if number, err := strconv.ParseInt(value, base, 64); err == nil {
				values[i] = strconv.FormatInt(number, 10)
			}
		}
	}
	return params
}

var errRefused = errors.New("it does not take it")

// read sends the reader a request unchanged, and returns how it is read. A request that it refuses is errRefused.
func (r *contentReader) read(ctx context.Context, raw []byte, method string) (*reading, error) {
	if method == http.MethodHead {
		return nil, fmt.Errorf("%w: it has no body to report in", errRefused) // GET is read the same way
	}
	got, err := r.roundTrip(ctx, raw, method)
	switch {
	case err != nil:
		return nil, err
	case got.status != http.StatusOK:
		return nil, fmt.Errorf("%w: the response is %d", errRefused, got.status)
	}
	found := &reading{}
	return found, json.Unmarshal(got.body, found)
}

// reply is a response that was read completely.
type reply struct {
	status int
	body   []byte
	closes bool
}

// roundTrip sends a request unchanged, and returns the response. More than one is an error.
func (p *pool) roundTrip(ctx context.Context, raw []byte, method string) (reply, error) {
	for {
		conn, used, err := p.connect(ctx)
		if err != nil {
			return reply{}, err
		}
		got, err := conn.roundTrip(raw, method)
		if err != nil {
			_ = conn.Close()
			switch {
			case used:
				continue // it may have been closed in the meantime
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
				errors.Is(err, syscall.EPIPE):
				return reply{}, fmt.Errorf("%w: %w", errRefused, err) // PHP, for bytes that it refuses
			}
			return reply{}, err
		}
		left := conn.responses.Buffered()
		if got.closes || left > 0 {
			_ = conn.Close()
		} else {
			p.mu.Lock()
			p.idle = append(p.idle, conn)
			p.mu.Unlock()
		}
		if left > 0 && !got.closes { // as in the response to an invalid HEAD, which has a body
			return reply{}, fmt.Errorf("there is more than one response: %d bytes are left", left)
		}
		return got, nil
	}
}

func (p *pool) connect(ctx context.Context) (conn *rawConn, used bool, err error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		conn, p.idle = p.idle[last], p.idle[:last]
	}
	p.mu.Unlock()
	if conn != nil {
		return conn, true, nil
	}
	var dialer net.Dialer
	opened, err := dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, false, err
	}
	return &rawConn{opened, bufio.NewReaderSize(opened, 64<<10)}, false, nil
}

func (c *rawConn) roundTrip(raw []byte, method string) (reply, error) {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return reply{}, err
	}
	if _, err := c.Write(raw); err != nil {
		return reply{}, err
	}
	response, err := http.ReadResponse(c.responses, &http.Request{Method: method})
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, body, response.Close}, err
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.idle {
		_ = conn.Close()
	}
	p.idle = nil
}
