package reverseproxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
)

// BenchmarkPass forwards a browser's request and returns 1 KB of content, over real sockets, with everything that both
// servers and the client of the one process allocate. The baseline is httputil.ReverseProxy with the same transport, so
// that the difference is Keyward's.
func BenchmarkPass(b *testing.B) {
	content := strings.Repeat("x", 1<<10)
	f := start(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, content) }, Config{})
	baseline := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(f.handler.config.Upstream) },
		Transport:  f.handler.proxy.Transport,
		BufferPool: f.handler.proxy.BufferPool,
	})
	b.Cleanup(baseline.Close)
	for name, address := range map[string]net.Addr{"keyward": f.address, "baseline": baseline.Listener.Addr()} {
		b.Run(name, func(b *testing.B) {
			conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", address.String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			request := []byte("GET /scenes/1?quality=high HTTP/1.1\r\nHost: cdn.acme.example\r\nAccept: " +
				"*/*\r\nAccept-Encoding: gzip, deflate, br\r\n" +
				"Accept-Language: en-US,en;q=0.9\r\nAuthorization: Bearer " + f.key +
				"\r\nOrigin: http://localhost:3000\r\nReferer: http://localhost:3000/\r\n" +
				"User-Agent: Mozilla/5.0\r\nX-Request-Id: 5c1f0b2e-0000-4000-8000-000000000000\r\n\r\n")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				response, err := http.ReadResponse(in, nil)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, response.Body)
				_ = response.Body.Close() // it is read
				if n != 1<<10 || err != nil || response.StatusCode != http.StatusOK {
					b.Fatal(response.Status, n, err)
				}
			}
		})
	}
}
