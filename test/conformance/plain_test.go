package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
)

// counted counts what is answered without net/http.
type counted struct {
	http1.FastPath

	answers atomic.Int64
}

// Answer implements http1.Answerer.
func (c *counted) Answer(question *httpapi.FastRequest, answer *httpapi.FastResponse) bool {
	ok := c.FastPath.Respond(question, answer)
	if ok {
		c.answers.Add(1)
	}
	return ok
}

// startFront serves a mux, with an Answerer, which may be nil.
func startFront(t testing.TB, mux http.Handler, plain http1.FastPath) net.Addr {
	t.Helper()
	front := httptest.NewUnstartedServer(mux)
	front.Listener = http1.Listen(front.Listener, http1.Config{MaxHeaderBytes: maxHeaderBytes, IdleTimeout: time.Minute, FastPath: plain})
	front.Config.MaxHeaderBytes = maxHeaderBytes
	front.Config.ConnState = http1.NoteState
	front.Start()
	t.Cleanup(front.Close)
	return front.Listener.Addr()
}

// warm is a request that makes a connection one that net/http has idle.
const warm = "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"

// dialWarm opens a connection and has one request answered on it.
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

// sendWarm is send on a connection that stays open, where there may be no need for net/http.
func sendWarm(t testing.TB, address net.Addr, host, target string, lines []string) reply {
	t.Helper()
	conn, in := dialWarm(t, address)
	defer func() { _ = conn.Close() }()
	raw := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host, strings.Join(append(slices.Clone(lines), ""), "\r\n"))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	r, err := readReply(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readReply(in *bufio.Reader) (reply, error) {
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	response.Header["Content-Length"] = []string{fmt.Sprint(response.ContentLength)}
	return reply{response.StatusCode, response.Header, body}, err
}

// rest are what is left of a rate limit, and until when: less, and longer, with each answer.
var rest = regexp.MustCompile(`=[0-9]+`)

// same tells whether two answers to a request are one, but for what is made anew for each, and
// whether the connection is to be closed, of which there was more than one in send.
func same(a, b reply, lines string) bool {
	for _, r := range []*reply{&a, &b} {
		r.header = r.header.Clone()
		delete(r.header, "Date")
		delete(r.header, "Connection")
		delete(r.header, "Content-Length")
		if id := r.header.Get("X-Request-Id"); id != "" && !strings.Contains(lines, id) {
			r.header.Set("X-Request-Id", "made")
		}
		if limit := r.header.Get("RateLimit"); limit != "" {
			r.header.Set("RateLimit", rest.ReplaceAllString(limit, "=n"))
		}
	}
	return a.status == b.status && bytes.Equal(a.body, b.body) && fmt.Sprint(a.header) == fmt.Sprint(b.header)
}

// plainStreams are questions, and what could be taken for one.
func plainStreams() []string {
	const lines = "Host: cdn.acme.example\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: cdn.acme.example\r\nX-Forwarded-Uri: /api/scenes/mkt-1\r\nX-Forwarded-For: 192.0.2.1\r\n" +
		"X-Original-Method: GET\r\nX-Original-Host: cdn.acme.example\r\nX-Original-URI: /api/scenes/mkt-1\r\nX-HAProxy-Method: GET\r\nX-HAProxy-Host: cdn.acme.example\r\nX-HAProxy-Uri: /api/scenes/mkt-1\r\n" +
		"Authorization: Bearer {good}\r\nX-Request-Id: mine\r\nOrigin: https://www.acme.example\r\n"
	var streams []string
	for _, target := range []string{"/authz", "/authz/nginx", "/authz/traefik", "/authz/caddy", "/authz/haproxy", "/authz?project=marketing", "/authz?project=web", "/authz?", "/authz?x", "/authz?x&y&z", "/authz?project=%6darketing", "/authz/", "//authz", "/authz/../authz",
		"/authz/caddy/projects/marketing", "/authz/caddy/projects/nope", "/authz/caddy/projects/%6darketing", "/authz/caddy/projects/..", "/authz/caddy/projects/", "/authz/caddy?project=marketing", "/authz/caddy?", "/authz/caddy/projects/marketing?", "/authz/caddy/projects/a.b", "/authz?project=a.b", "/authz/traefik/preflights", "http://cdn.acme.example/authz", "/authz%", "/%61uthz", "/authz#x", "*"} {
		streams = append(streams, "GET "+target+" HTTP/1.1\r\n"+lines+"\r\n")
	}
	for _, more := range []string{"Connection: close\r\n", "Connection: keep-alive\r\n", "Content-Length: 0\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Expect: x\r\n", "Upgrade: h2c\r\n", "X-Forwarded-Uri: /again\r\n",
		"Authorization: Bearer {good}\r\n", "X-Api-Key: {both}\r\n", "Host: other\r\n", "X-Keyward-Group: evil\r\n", "X_keyward_group: evil\r\n", "x-api-key: {good}\r\n", "X-Request-Id: \t\r\n", "Cookie: é=\xff\r\n", " folded\r\n", "X-A: b\n", "X-A\r\n", "Access-Control-Request-Method: GET\r\n", "Range: bytes=0-1\r\n", "If-None-Match: *\r\n"} {
		streams = append(streams, "GET /authz HTTP/1.1\r\n"+lines+more+"\r\n"+"GET /authz/nginx HTTP/1.1\r\n"+lines+more+"\r\nabc")
	}
	question := "GET /authz HTTP/1.1\r\n" + lines + "\r\n"
	for _, method := range []string{"HEAD", "POST", "get", "OPTIONS"} {
		streams = append(streams, strings.Replace(question, "GET", method, 1)+question)
	}
	return append(streams, strings.Repeat(question, 7), strings.Replace(question, "HTTP/1.1", "HTTP/1.0", 1)+question, strings.ReplaceAll(question, "{good}", "{unknown}"), strings.ReplaceAll(question, "cdn.acme.example", "[::1]:80"),
		strings.ReplaceAll(question, "cdn.acme.example", "a b"), strings.ReplaceAll(question, "cdn.acme.example", ""), "POST /v1/verify HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"+question, question+"\r\n"+question, question[:len(question)-2])
}

// FuzzPlain sends the same bytes, on a connection that net/http has idle, to a server that
// answers plain questions without net/http and to one that does not: the answers are the same.
func FuzzPlain(f *testing.F) {
	streams := plainStreams()
	for _, stream := range streams {
		f.Add(stream)
	}
	keys, update := snapshot(f)
	mux := http.NewServeMux()
	plain := forwardauth.Register(mux, newAuthorizer(f, "", update), clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, clientaddr.HeaderXForwardedFor))
	fast, slow := startFront(f, mux, plain), startFront(f, mux, nil)
	answersOf := func(t *testing.T, address net.Addr, stream string) []reply {
		conn, in := dialWarm(t, address)
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			_, _ = io.WriteString(conn, stream) // fails where the server has heard enough
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		var answers []reply
		for {
			r, err := readReply(in)
			if err != nil {
				return answers
			}
			answers = append(answers, r)
		}
	}
	f.Fuzz(func(t *testing.T, stream string) {
		stream = keys.fill(stream)
		got, want := answersOf(t, fast, stream), answersOf(t, slow, stream)
		if len(got) != len(want) {
			t.Fatalf("%q: %d answers, net/http has %d:\n%v\n%v", stream, len(got), len(want), got, want)
		}
		for i := range got {
			connection, length := got[i].header.Get("Connection"), got[i].header.Get("Content-Length")
			if connection != want[i].header.Get("Connection") || length != want[i].header.Get("Content-Length") || got[i].header.Get("Date") == "" && want[i].header.Get("Date") != "" || !same(got[i], want[i], stream) {
				t.Fatalf("%q: answer %d:\n%v\nnet/http: %v", stream, i, got[i], want[i])
			}
		}
	})
}

// TestWhatIsPlain: the questions that proxies put all day do not go to net/http.
func TestWhatIsPlain(t *testing.T) {
	keys, update := snapshot(t)
	mux := http.NewServeMux()
	plain := &counted{FastPath: forwardauth.Register(mux, newAuthorizer(t, "", update), nil)}
	front := startFront(t, mux, plain)
	for name, d := range proxyProfiles {
		e := exchange{method: "GET", host: "cdn.acme.example", target: "/api/scenes/mkt-1?x", client: "192.0.2.1:4711"}
		for _, e.project = range []string{"", "marketing"} {
			for _, e.lines = range [][]string{{"Authorization: Bearer " + keys["good"].Reveal(), "Origin: https://www.acme.example"}, {"Authorization: Bearer " + keys["unknown"].Reveal()}, nil} {
				before := plain.answers.Load()
				for range 100 { // net/http may have it before it is done with the request before
					if sendWarm(t, front, e.host, d.target(e.project), append(e.lines, d.says(e)...)); plain.answers.Load() != before {
						break
					}
				}
				if plain.answers.Load() == before {
					t.Errorf("%s, %s, %q", name, d.target(e.project), e.lines)
				}
			}
		}
	}
}
