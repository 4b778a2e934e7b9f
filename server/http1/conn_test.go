package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pieces is a connection on which bytes arrive in these pieces.
type pieces struct {
	net.Conn

	rest []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[0])
	if p.rest[0] = p.rest[0][n:]; p.rest[0] == "" {
		p.rest = p.rest[1:]
	}
	return n, nil
}

// passedOn returns what a connection passes on when net/http reads portions of this size, and why it refused the rest.
func passedOn(size int, rest ...string) (string, *protocolError) {
	conn := &conn{Conn: &pieces{rest: rest}, listener: &listener{}, scanner: scanner{maxHead: 200}}
	var out bytes.Buffer
	buffer := make([]byte, size)
	for {
		n, err := conn.Read(buffer)
		out.Write(buffer[:n])
		if err != nil {
			return out.String(), conn.refused
		}
	}
}

var parts = []string{
	"GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "PRI * HTTP/2.0\r\n", wholePreface, "Host: h\r\n", "Content-Length: 3\r\n",
	"Transfer-Encoding: chunked\r\n", "Connection: upgrade\r\n", "Upgrade: websocket\r\n",
	"\r\n", "\n", "\r", "3\r\n", "abc", "\r\n0\r\n", "X-A: b\r\n", " c\r\n", "0", "X-A: b\r\n\r\n", strings.Repeat("x", 150),
	"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"GET /%zz%2f%?%zz HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
}

// TestPacketBoundariesDoNotMatter splits a stream in another way, and reads it in other portions: the same bytes are
// passed on, and the same are refused.
func TestPacketBoundariesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 1, 12).Draw(t, "parts"), "")
		split := make([]string, 0, len(stream))
		for rest := stream; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			split, rest = append(split, rest[:n]), rest[n:]
		}
		whole, refused := passedOn(4096, stream)
		got, again := passedOn(rapid.SampledFrom([]int{1, 7, 4096}).Draw(t, "portion"), split...)
		if got != whole || again != refused {
			t.Fatalf("%q\nwhole  %q %v\npieces %q %v", stream, whole, refused, got, again)
		}
	})
}

// FuzzPassedOn: what is passed on is a prefix of what was sent, and net/http can read all of it, with one length for
// each request.
func FuzzPassedOn(f *testing.F) {
	for i := range parts {
		f.Add([]byte(parts[i] + parts[(i+1)%len(parts)] + parts[(i+2)%len(parts)]))
	}
	f.Add([]byte(strings.Join(parts[20:], "")))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, refused := passedOn(4096, string(stream))
		if got = strings.TrimSuffix(got, poison); !strings.HasPrefix(poisoned(string(stream)), poisoned(got)) {
			t.Fatalf("%q is passed on of %q", got, stream)
		}
		if strings.HasPrefix(got, wholePreface) {
			return
		}
		in := bufio.NewReader(strings.NewReader(got))
		for {
			request, err := http.ReadRequest(in)
			if err != nil || request.Header.Get("Upgrade") != "" {
				return
			}
			if request.Method == "PRI" || !request.ProtoAtLeast(1, 0) || len(request.Header["Content-Length"]) > 1 ||
				len(request.TransferEncoding) > 0 && request.Header.Get("Content-Length") != "" {
				t.Fatalf("%q", got)
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil && refused == nil &&
				!strings.Contains(err.Error(), "unexpected EOF") {
				t.Fatalf("%q: %v", got, err)
			}
		}
	})
}

// poisoned makes invalid escapes equal to what they are replaced by.
func poisoned(s string) string { return strings.ReplaceAll(s, "%", `\`) }

// TestNothingIsHeldWhenIdle: between requests a connection needs no buffer.
func TestNothingIsHeldWhenIdle(t *testing.T) {
	conn := &conn{Conn: &pieces{rest: []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n"}}, listener: &listener{}, scanner: scanner{maxHead: 200}}
	if n, err := conn.Read(make([]byte, 4096)); n == 0 || err != nil || conn.pending != nil {
		t.Errorf("%d, %v, held %d", n, err, cap(conn.pending))
	}
}

func BenchmarkRead(b *testing.B) {
	request := "GET /api/scenes/mkt-1 HTTP/1.1\r\nHost: cdn.acme.example\r\nUser-Agent: curl/8\r\nAccept: " +
		"*/*\r\nAuthorization: Bearer " + strings.Repeat("x", 55) + "\r\n\r\n"
	conn, buffer := &conn{listener: &listener{}, scanner: scanner{maxHead: 64 << 10}}, make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		conn.Conn = &pieces{rest: []string{request}}
		if _, err := conn.Read(buffer); err != nil {
			b.Fatal(err)
		}
	}
}
