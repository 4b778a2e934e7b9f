package reverseproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/routing"
)

// lines is an upstream whose responses contain the request line and the Host that it received, byte by byte.
func lines(t testing.TB) *url.URL {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go reportLines(conn)
		}
	}()
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

func reportLines(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		var first, hosts string
		for line := " "; line != ""; {
			var err error
			line, err = in.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(line, "\r\n")
			name, _, _ := strings.Cut(line, ": ")
			switch {
			case line == "":
			case first == "":
				first = line
			case strings.EqualFold(name, "Host"), strings.EqualFold(name, "X-Forwarded-Host"):
				hosts += "\n" + line
			}
		}
		body := first + hosts
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return
		}
	}
}

// asker sends request targets unchanged, on one connection after the other.
type asker struct {
	front *front
	conn  net.Conn
	in    *bufio.Reader
}

func (a *asker) ask(t fataler, target, host string) (status int, line string) {
	t.Helper()
	if a.conn == nil {
		conn, err := net.Dial("tcp", a.front.address.String())
		if err != nil {
			t.Fatal(err)
		}
		a.conn, a.in = conn, bufio.NewReader(conn)
	}
	if _, err := fmt.Fprintf(a.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", target, host, a.front.key); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(a.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if response.Close {
		_ = a.conn.Close()
		a.conn = nil
	}
	return response.StatusCode, string(body)
}

// fataler is the common part of testing.T and rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
}

func TestTargetIsUnchanged(t *testing.T) {
	f := start(t, nil, Config{Upstream: lines(t)})
	a := asker{front: f}
	for sent, want := range map[string]string{
		"/files/a%2Bb|c":         "/files/a%2Bb%7Cc",
		"/files/a%2bb|c":         "/files/a%2bb%7Cc",
		"/files/x%26y%3Dz|":      "/files/x%26y%3Dz%7C",
		"/files/a%3Ab^c":         "/files/a%3Ab%5Ec",
		"/%41%7e%2d":             "/%41%7e%2d",
		"/{a}/<b>/`c`/\"d\"":     "/%7Ba%7D/%3Cb%3E/%60c%60/%22d%22",
		"/a[1]/b'c/(d)/!$&*+,=@": "/a[1]/b'c/(d)/!$&*+,=@",
		"/ä/%C3%A4":              "/%C3%A4/%C3%A4",
		"/a?":                    "/a?",
		"/a??":                   "/a??",
		"/a?b":                   "/a?b",
		"/a?b=%zz&c=|{}^\"<>'`;": "/a?b=%zz&c=|{}^\"<>'`;",
		"/a?b=%C3%A4":            "/a?b=%C3%A4",
		"/a?/../b&%2f//":         "/a?/../b&%2f//",
		"/a/?+":                  "/a/?+",
		"http://h.example/a%2B|": "/a%2B%7C",
		"http://h.example?x":     "/?x",
		"http://h.example/?":     "/?",
	} {
		if status, got := a.ask(t, sent, "h.example"); status != http.StatusOK ||
			got != "GET "+want+" HTTP/1.1\nHost: h.example\nX-Forwarded-Host: h.example" {
			t.Errorf("%s: %d %s, want %s", sent, status, got, want)
		}
	}
}

// TestDecidedTargetIsSent: every byte of an allowed request arrives, or its escape, so that the path means to the
// upstream what it meant to the decision.
func TestDecidedTargetIsSent(t *testing.T) {
	f := start(t, nil, Config{Upstream: lines(t)})
	a := asker{front: f}
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.OneOf(rapid.StringMatching(`%[0-9A-Fa-f]{2}`), rapid.StringMatching(`[!-~]`),
			rapid.StringMatching(`[a-c./;]{1,3}`), rapid.SampledFrom([]string{"/", "ä", "\u2028", "%2B", "|"}))
		query := rapid.SampledFrom([]string{"", "?"}).Draw(t, "query")
		if query != "" {
			query += strings.ReplaceAll(strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "parameters"), ""), "#", "")
		}
		path := "/" + strings.NewReplacer("?", "", "#", "").Replace(strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "path"), ""))
		status, line := a.ask(t, path+query, "h.example")
		if status != http.StatusOK {
			return
		}
		passed++
		decided := f.decided.Load()
		if decided.Path != path || "?"+decided.RawQuery != query && query != "" {
			t.Fatalf("decided on %q and %q, sent %q", decided.Path, decided.RawQuery, path+query)
		}
		line, _, _ = strings.Cut(line, "\n")
		got := strings.TrimSuffix(strings.TrimPrefix(line, "GET "), " HTTP/1.1")
		gotPath, gotQuery, has := strings.Cut(got, "?")
		if want := escapedByTheStandard(path); gotPath != want || has != (query != "") || has &&
			"?"+gotQuery != strings.NewReplacer("ä", "%C3%A4", "\u2028", "%E2%80%A8").Replace(query) {
			t.Fatalf("%q arrives as %q", path+query, got)
		}
		one, err := routing.CanonicalPath(path)
		other, otherErr := routing.CanonicalPath(gotPath)
		if one != other || err != nil || otherErr != nil {
			t.Fatalf("%q means %q, %v; %q means %q, %v", path, one, err, gotPath, other, otherErr)
		}
	})
	if passed < 10 {
		t.Errorf("%d requests passed", passed)
	}
}

func escapedByTheStandard(path string) (escaped string) {
	for _, c := range []byte(path) {
		if c < 0x80 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-._~!$&'()*+,;=:@/%[]", c) >= 0) {
			escaped += string(c)
		} else {
			escaped += fmt.Sprintf("%%%02X", c)
		}
	}
	return escaped
}
