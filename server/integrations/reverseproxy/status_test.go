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
)

// saying is an upstream that begins every response with the line of the request's query.
func saying(t *testing.T) *url.URL {
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
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				line, _ := url.QueryUnescape(request.URL.RawQuery)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 4\r\nCache-Control: public, max-age=60\r\nConnection: close\r\n\r\ntext", line)
			}()
		}
	}()
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

// TestStatusOfTheUpstream: a status that is none of a final response is the upstream's failure. It never becomes a
// response without the headers that say who may keep it.
func TestStatusOfTheUpstream(t *testing.T) {
	f := start(t, nil, Config{Upstream: saying(t)})
	for protocol, client := range clients(t) {
		for line, want := range map[string]int{
			"000 Odd": 502, "001 Odd": 502, "042 Odd": 502, "099 Odd": 502, "+20 Odd": 502, "-00 Odd": 502, "-01 Odd": 502,
			"101 Odd": 502, "101 Odd\r\nUpgrade: websocket\r\nConnection: Upgrade": 502, "20 Odd": 502, "2000 Odd": 502, "abc Odd": 502,
			"200 OK": 200, "299 Odd": 299, "599 Odd": 599, "600 Odd": 600, "999 Denied": 999,
		} {
			t.Run(protocol+" "+line, func(t *testing.T) {
				response := f.post(t, client, "/?"+url.QueryEscape(line), http.NoBody, nil)
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != want || strings.Contains(string(body), `"upstream_failed"`) != (want == 502) {
					t.Errorf("%d %q, %v", response.StatusCode, body, err)
				}
				if keep := response.Header.Get("Cache-Control"); !strings.Contains(keep, "private") && keep != "no-store" ||
					response.Header.Get("Vary") == "" || response.Header.Get("X-Request-Id") == "" {
					t.Errorf("the headers are %q", response.Header)
				}
			})
		}
	}
}

// TestSwitchWithoutUpgrade: HTTP/2 has no 101 (RFC 9113, section 8.6), so an upstream that sends one has said nothing.
func TestSwitchWithoutUpgrade(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
		}
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.WriteHeader(http.StatusSwitchingProtocols)
		_, _ = io.WriteString(w, "text") // in HTTP/1.1, of the other protocol
	}, func(t *testing.T, client *http.Client, f *front) {
		response := f.post(t, client, "/", http.NoBody, nil)
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusBadGateway ||
			strings.Contains(response.Header.Get("Cache-Control"), "public") || response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d %q", response.StatusCode, response.Header)
		}
	})
}

// TestNothingIsBegunByAPanic: a response that was not begun ends without one, and not as 200.
func TestNothingIsBegunByAPanic(t *testing.T) {
	f := start(t, nil, Config{Upstream: saying(t)})
	f.handler.proxy.ModifyResponse = func(*http.Response) error { panic(http.ErrAbortHandler) }
	request := f.request(t.Context(), t, "/?200+OK")
	if response, err := http.DefaultClient.Do(request); err == nil {
		_ = response.Body.Close()
		t.Errorf("%d %q", response.StatusCode, response.Header)
	}
}
