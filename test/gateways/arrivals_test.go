package gateways

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"testing"
)

// arrived is a request as a gateway sends it to a content server.
type arrived struct {
	raw                           []byte
	method, target, host, project string
}

// recordArrivals is a content server that records each request, byte by byte.
func recordArrivals(t testing.TB, to chan<- arrived) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
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
			go func() {
				defer func() { _ = conn.Close() }()
				for requests := bufio.NewReaderSize(conn, 64<<10); ; {
					a, err := receive(requests)
					if err != nil {
						return
					}
					to <- a
					if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// receive reads one request, with its body.
func receive(requests *bufio.Reader) (arrived, error) {
	var raw bytes.Buffer
	a := arrived{}
	line, err := requests.ReadString('\n')
	if err != nil {
		return a, err
	}
	raw.WriteString(line)
	// The first and last spaces, with anything between.
	line = strings.TrimRight(line, "\r\n")
	first, last := strings.IndexByte(line, ' '), strings.LastIndexByte(line, ' ')
	if first < 0 || last <= first {
		return a, fmt.Errorf("request line %q", line)
	}
	a.method, a.target = line[:first], line[first+1:last]
	length, chunked := 0, false
	for {
		header, err := requests.ReadString('\n')
		if err != nil {
			return a, err
		}
		raw.WriteString(header)
		name, value, _ := strings.Cut(strings.TrimRight(header, "\r\n"), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "":
			if chunked {
				body, err := io.ReadAll(httputil.NewChunkedReader(io.TeeReader(requests, &raw)))
				if err != nil || len(body) > 0 {
					return a, fmt.Errorf("a body of %d bytes: %w", len(body), err)
				}
			}
			_, err := io.CopyN(&raw, requests, int64(length))
			a.raw = raw.Bytes()
			return a, err
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil {
				return a, err
			}
		case "transfer-encoding":
			chunked = true
		case "host":
			a.host = value
		case "x-keyward-project":
			a.project = value
		}
	}
}
