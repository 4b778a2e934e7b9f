package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
)

// counted counts responses without net/http.
type counted struct {
	http1.FastPath

	responses atomic.Int64
}

// Respond implements http1.FastPath.
func (c *counted) Respond(request *httpapi.FastRequest, response *httpapi.Response) bool {
	ok := c.FastPath.Respond(request, response)
	if ok {
		c.responses.Add(1)
	}
	return ok
}

// startFront serves a handler as the validator does, with a fast path, which may be nil.
func startFront(t testing.TB, handler http.Handler, fastPath http1.FastPath) net.Addr {
	t.Helper()
	return serveHTTP(t, http1.Config{Handler: handler, FastPath: fastPath, SmallBodies: true})
}

// serveHTTP runs a server as the validator does.
func serveHTTP(t testing.TB, config http1.Config) net.Addr {
	t.Helper()
	server, err := runHTTP(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server.Addr()
}

// runHTTP is for serveHTTP, and for a fuzz target, which may not use its testing.F.
func runHTTP(config http1.Config) (*http1.Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config.MaxHeaderBytes, config.ReadHeaderTimeout, config.IdleTimeout = maxHeaderBytes, time.Minute, time.Minute
	server := http1.NewServer(listener, config)
	go func() { _ = server.Serve() }() // if it fails, so do the requests
	return server, nil
}

// warm is a request after which a connection is idle for net/http.
const warm = "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"

// dialWarm opens a connection and gets one response on it.
func dialWarm(t testing.TB, address net.Addr) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, warm); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusNotFound {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	_ = response.Body.Close()
	return conn, in
}

// sendWarm is send on a connection that stays open, on which the fast path may respond.
func sendWarm(t testing.TB, address net.Addr, host, target string, lines []string) reply {
	t.Helper()
	return sendOpen(t, address, http.MethodGet, host, target, lines)
}

func sendOpen(t testing.TB, address net.Addr, method, host, target string, lines []string) reply {
	t.Helper()
	conn, in := dialWarm(t, address)
	defer func() { _ = conn.Close() }()
	raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, target, host,
		strings.Join(append(slices.Clone(lines), ""), "\r\n"))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	r, err := readReply(in, method)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readReply(in *bufio.Reader, method string) (reply, error) {
	response, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	response.Header["Content-Length"] = []string{fmt.Sprint(response.ContentLength)}
	return reply{response.StatusCode, response.Header, body}, err
}

// rest are what is left of a rate limit, and until when: less, and longer, with each response.
var rest = regexp.MustCompile(`=[0-9]+`)

// same reports whether two responses to a request are equal, except for what is made for each, and for whether the
// connection closes, which differs between send and sendWarm.
func same(a, b reply, lines string) bool {
	for _, r := range []*reply{&a, &b} {
		r.header = r.header.Clone()
		delete(r.header, "Date")
		delete(r.header, "Connection")
		delete(r.header, "Content-Length")
		if id := r.header.Get("X-Request-Id"); id != "" && !strings.Contains(lines, id) {
			r.header.Set("X-Request-Id", "made")
			if r.header.Get("X-Keyward-Principal") != "" { // which has the id
				r.header.Set("X-Keyward-Principal", "made")
			}
		}
		if limit := r.header.Get("RateLimit"); limit != "" {
			r.header.Set("RateLimit", rest.ReplaceAllString(limit, "=n"))
		}
	}
	return a.status == b.status && bytes.Equal(a.body, b.body) && fmt.Sprint(a.header) == fmt.Sprint(b.header)
}

// fastPathStreams are simple requests, and what could be taken for one.
func fastPathStreams() []string {
	const lines = "Host: cdn.acme.example\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: cdn.acme.example\r\nX-Forwarded-Uri: " +
		"/api/scenes/mkt-1\r\nX-Forwarded-For: 192.0.2.1\r\n" +
		"X-Original-Method: GET\r\nX-Original-Host: cdn.acme.example\r\nX-Original-URI: /api/scenes/mkt-1\r\nX-HAProxy-Method: " +
		"GET\r\nX-HAProxy-Host: cdn.acme.example\r\nX-HAProxy-Uri: /api/scenes/mkt-1\r\n" +
		"X-Original-URL: https://cdn.acme.example/api/scenes/mkt-1\r\nMethod: GET\r\nPath: /api/scenes/mkt-1\r\n" +
		"Authorization: Bearer {good}\r\nX-Request-Id: mine\r\nOrigin: https://www.acme.example\r\n"
	var streams []string
	for _, target := range []string{"/authz", "/authz/nginx", "/authz/traefik", "/authz/caddy", "/authz/haproxy",
		"/authz?project=marketing", "/authz?project=web", "/authz?", "/authz?x", "/authz?x&y&z", "/authz?project=%6darketing",
		"/authz/", "//authz", "/authz/../authz",
		"/authz/caddy/projects/marketing", "/authz/caddy/projects/nope", "/authz/caddy/projects/%6darketing",
		"/authz/caddy/projects/..", "/authz/caddy/projects/", "/authz/caddy?project=marketing", "/authz/caddy?",
		"/authz/caddy/projects/marketing?", "/authz/caddy/projects/a.b", "/authz?project=a.b", "/authz/traefik/preflights",
		"/authz/ingress-nginx", "/authz/ingress-nginx?project=marketing", "/authz/ingress-nginx/projects/marketing",
		"/authz/gateway-api", "/authz/gateway-api?project=marketing", "/authz/gateway-api/api/scenes/mkt-1",
		"/authz/projects/marketing/gateway-api", "/authz/projects/%6darketing/gateway-api", "/authz/projects/marketing/gateway-api/",
		"/authz/projects/marketing/nginx", "/authz/projects/marketing", "/authz/projects//gateway-api",
		"/authz/envoy-http/api/scenes/mkt-1?x=1", "/authz/envoy-http/api/scenes/mkt-1?", "/authz/envoy-http", "/authz/envoy-http?x",
		"/authz/envoy-http/", "/authz/envoy-http//api/scenes/mkt-1", "/authz/envoy-http/../nginx", "/authz/envoy-http/%2e%2e/nginx",
		"/authz/envoy-http/api/scenes/mkt-%31", "/authz/envoy-http/api/scenes/mkt-1#x", "/authz/envoy-http/api/scenes/mkt-1?x#y",
		"/authz/envoy-http/%zz", "/authz/envoy-http/\\x", "/authz/envoy-httpx/api", "/authz/projects/marketing/envoy-http/any?project=web",
		"/authz/projects/a.b/envoy-http/any", "/authz/projects/../envoy-http/any", "http://cdn.acme.example/authz/envoy-http/any",
		"http://cdn.acme.example/authz", "/authz%", "/%61uthz", "/authz#x", "*"} {
		streams = append(streams, "GET "+target+" HTTP/1.1\r\n"+lines+"\r\n")
	}
	for _, more := range []string{"Connection: close\r\n", "Connection: keep-alive\r\n", "Content-Length: 0\r\n",
		"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Expect: x\r\n",
		"Upgrade: h2c\r\n", "X-Forwarded-Uri: /again\r\n",
		"Authorization: Bearer {good}\r\n", "X-Api-Key: {both}\r\n", "Host: other\r\n", "X-Keyward-Group: evil\r\n",
		"X_keyward_group: evil\r\n", "x-api-key: {good}\r\n", "X-Request-Id: \t\r\n", "Cookie: é=\xff\r\n", " folded\r\n",
		"X-A: b\n", "X-A\r\n", "Access-Control-Request-Method: GET\r\n", "Range: bytes=0-1\r\n", "If-None-Match: *\r\n"} {
		streams = append(streams, "GET /authz HTTP/1.1\r\n"+lines+more+"\r\n"+"GET /authz/nginx HTTP/1.1\r\n"+lines+more+"\r\nabc")
	}
	request := "GET /authz HTTP/1.1\r\n" + lines + "\r\n"
	for _, method := range []string{"HEAD", "POST", "get", "OPTIONS"} {
		streams = append(streams, strings.Replace(request, "GET", method, 1)+request)
	}
	return append(streams, strings.Repeat(request, 7), strings.Replace(request, "HTTP/1.1", "HTTP/1.0", 1)+request,
		strings.ReplaceAll(request, "{good}", "{unknown}"), strings.ReplaceAll(request, "cdn.acme.example", "[::1]:80"),
		strings.ReplaceAll(request, "cdn.acme.example", "a b"), strings.ReplaceAll(request, "cdn.acme.example",
			""), "POST /v1/verify HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"+request, request+"\r\n"+request,
		request[:len(request)-2])
}

// nextMethod returns the method of the next request in a stream: a response to HEAD ends with its head.
func nextMethod(stream *bufio.Reader) string {
	request, err := http.ReadRequest(stream)
	if err != nil {
		return http.MethodGet
	}
	_, _ = io.Copy(io.Discard, request.Body)
	return request.Method
}

// FuzzFastPath sends the same bytes, on a connection that is idle for net/http, to a server with the fast path and to one
// without: the responses are the same.
func FuzzFastPath(f *testing.F) {
	streams := fastPathStreams()
	for _, stream := range streams {
		f.Add(stream)
	}
	keys, update := snapshot(f)
	mux := http.NewServeMux()
	fastPath := forwardauth.Register(mux, newAuthorizer(f, "", update),
		clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, clientaddr.HeaderXForwardedFor))
	fast, slow := startFront(f, fastPath.Prefixed(mux), fastPath), startFront(f, fastPath.Prefixed(mux), nil)
	responsesOf := func(t *testing.T, address net.Addr, stream string) []reply {
		conn, in := dialWarm(t, address)
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			_, _ = io.WriteString(conn, stream) // fails when the server has refused the stream
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		var responses []reply
		for asked := bufio.NewReader(strings.NewReader(stream)); ; {
			r, err := readReply(in, nextMethod(asked))
			if err != nil {
				return responses
			}
			responses = append(responses, r)
		}
	}
	f.Fuzz(func(t *testing.T, stream string) {
		stream = keys.fill(stream)
		got, want := responsesOf(t, fast, stream), responsesOf(t, slow, stream)
		if len(got) != len(want) {
			t.Fatalf("%q: %d responses, net/http has %d:\n%v\n%v", stream, len(got), len(want), got, want)
		}
		for i := range got {
			connection, length := got[i].header.Get("Connection"), got[i].header.Get("Content-Length")
			if connection != want[i].header.Get("Connection") || length != want[i].header.Get("Content-Length") ||
				got[i].header.Get("Date") == "" && want[i].header.Get("Date") != "" || !same(got[i], want[i], stream) {
				t.Fatalf("%q: response %d:\n%v\nnet/http: %v", stream, i, got[i], want[i])
			}
		}
	})
}

// TestFastPathServesProxies: the requests that proxies send all the time do not go to net/http.
func TestFastPathServesProxies(t *testing.T) {
	keys, update := snapshot(t)
	mux := http.NewServeMux()
	registered := forwardauth.Register(mux, newAuthorizer(t, "", update), nil)
	fastPath := &counted{FastPath: registered}
	front := startFront(t, registered.Prefixed(mux), fastPath)
	for name, d := range proxyProfiles {
		e := testRequest{method: "GET", host: "cdn.acme.example", target: "/api/scenes/mkt-1?x", client: "192.0.2.1:4711"}
		for _, e.project = range []string{"", "marketing"} {
			for _, e.lines = range [][]string{
				{"Authorization: Bearer " + keys["good"].Reveal(),
					"Origin: https://www.acme.example"}, {"Authorization: Bearer " + keys["unknown"].Reveal()}, nil,
			} {
				before := fastPath.responses.Load()
				for range 100 { // net/http gets a request that arrives before it has finished the previous one
					method, host, target := d.asked(e)
					if sendOpen(t, front, method, host, target,
						append(e.lines, d.setHeaders(e)...)); fastPath.responses.Load() != before {
						break
					}
				}
				if fastPath.responses.Load() == before {
					t.Errorf("%s, %s, %q", name, d.target(e.project), e.lines)
				}
			}
		}
	}
}
