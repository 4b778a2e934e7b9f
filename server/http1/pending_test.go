package http1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// neverEnding reads as 'x', and does not end.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestStalledStreamIsCut: a client that takes nothing of a response, or sends nothing of a body, for StreamIdleTimeout.
// One whose upstream is slow is not cut, nor one that takes and sends a little at a time.
func TestStalledStreamIsCut(t *testing.T) {
	const idle = 300 * time.Millisecond
	const large = 64 << 20
	ended := make(chan string, 1)
	config := Config{IdleTimeout: time.Hour, ReadHeaderTimeout: 50 * time.Millisecond, StreamIdleTimeout: idle, Upgrades: true}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		w = Stream(w, r)
		switch r.URL.Path {
		case "/large":
			_, err := io.CopyN(w, neverEnding{}, large)
			ended <- fmt.Sprint(err)
		case "/upload":
			n, err := io.Copy(io.Discard, r.Body)
			ended <- fmt.Sprint(n, err)
		case "/quiet":
			time.Sleep(2*idle + responseTimeout)
			_, _ = io.WriteString(w, "quiet")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(2 * idle)
			_, err := io.WriteString(w, "end")
			ended <- fmt.Sprint(err)
		case "/echo": // the client sends no more, and the response has begun
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
			written := make(chan struct{})
			go func() {
				defer close(written)
				time.Sleep(4 * idle)
				_, _ = io.WriteString(w, "end")
				_ = http.NewResponseController(w).Flush()
			}()
			n, err := io.Copy(io.Discard, r.Body)
			<-written
			ended <- fmt.Sprint(n, err)
		}
	}
	_, c := serve(t, config, handler)
	config.StreamIdleTimeout = 3 * time.Second
	_, patient := serve(t, config, handler) // for a client that must not be late
	wait := func(what, want string) {
		t.Helper()
		select {
		case got := <-ended:
			if !strings.Contains(got, want) || want == "" && got == "<nil>" {
				t.Errorf("%s: %s", what, got)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it goes on", what)
		}
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	for protocol, transport := range map[string]*http.Transport{"HTTP/1": {}, "HTTP/2": {Protocols: protocols}} {
		t.Cleanup(transport.CloseIdleConnections)
		ask := func(c *client, path string, body io.Reader) *http.Response {
			t.Helper()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.conn.RemoteAddr().String()+path, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatalf("%s: %s: %v", protocol, path, err)
			}
			return response
		}
		response := ask(c, "/large", nil)
		wait(protocol+": response is not taken", "")
		_ = response.Body.Close()

		quiet := ask(c, "/quiet", nil)
		wait(protocol+": upstream is slow", "<nil>")
		if body, err := io.ReadAll(quiet.Body); err != nil || string(body) != "quietend" {
			t.Errorf("%s: %q, %v", protocol, body, err)
		}
		_ = quiet.Body.Close()

		body, client := io.Pipe()
		go func() {
			for range 8 { // longer than the timeout in all
				time.Sleep(500 * time.Millisecond)
				_, _ = client.Write([]byte("x"))
			}
			_ = client.Close()
		}()
		_ = ask(patient, "/upload", body).Body.Close()
		wait(protocol+": body is slow", "8 <nil>")

		body, client = io.Pipe()
		_ = ask(c, "/upload", body).Body.Close()
		wait(protocol+": body does not come", "timeout")
		_ = client.Close()

		body, client = io.Pipe()
		begun := ask(c, "/echo", body)
		in := bufio.NewReader(begun.Body)
		got := make([]byte, len("begunend"))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != "begunend" {
			t.Errorf("%s: %q, %v", protocol, got, err)
		}
		_ = client.Close()
		wait(protocol+": response has begun", "0 <nil>")
		_ = begun.Body.Close()
	}
}
