package reverseproxy

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// clients use the protocols that the proxy supports without TLS.
func clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	made := map[string]*http.Client{}
	for name, choose := range map[string]func(*http.Protocols, bool){"HTTP/1.1": (*http.Protocols).SetHTTP1,
		"h2c": (*http.Protocols).SetUnencryptedHTTP2} {
		protocols := new(http.Protocols)
		choose(protocols, true)
		transport := &http.Transport{Protocols: protocols, ExpectContinueTimeout: 1 << 40, DisableCompression: true}
		t.Cleanup(transport.CloseIdleConnections)
		made[name] = &http.Client{Transport: transport}
	}
	return made
}

// upstreams are the same handler with every protocol that an upstream may use, with a proxy in front of each.
func upstreams(t *testing.T, handler http.HandlerFunc) map[string]*front {
	t.Helper()
	fronts := map[string]*front{"HTTP/1.1": start(t, handler, Config{})}
	for name, scheme := range map[string]string{"h2c": SchemeH2C, "HTTP/2 over TLS": "https"} {
		server := httptest.NewUnstartedServer(handler)
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(scheme == SchemeH2C)
		server.Config.Protocols.SetHTTP2(scheme == "https")
		server.EnableHTTP2 = scheme == "https"
		if scheme == "https" {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		f := start(t, nil, Config{Upstream: &url.URL{Scheme: scheme, Host: server.Listener.Addr().String()}})
		if scheme == "https" {
			trusting, _ := server.Client().Transport.(*http.Transport)
			transport, _ := f.handler.proxy.Transport.(*http.Transport)
			transport.TLSClientConfig = trusting.TLSClientConfig.Clone()
			transport.TLSClientConfig.NextProtos = nil
		}
		fronts[name] = f
	}
	return fronts
}

// everyWay runs a test with each client in front of each upstream.
func everyWay(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, client *http.Client, f *front)) {
	t.Helper()
	fronts := upstreams(t, handler)
	for from, client := range clients(t) {
		for to, f := range fronts {
			t.Run(from+" to "+to, func(t *testing.T) { test(t, client, f) })
		}
	}
}

func (f *front) post(t *testing.T, client *http.Client, path string, body io.Reader, change func(*http.Request)) readResponse {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", f.key)
	if change != nil {
		change(request)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return readResponse{response}
}

// readResponse is a response whose body is closed when the test is over.
type readResponse struct{ *http.Response }

// TestFullDuplex echoes line by line: neither side sends the next one before it has read the last one.
func TestFullDuplex(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex() // HTTP/2 always is
		_ = control.Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = fmt.Fprintf(w, "echo %s\n", lines.Text())
			_ = control.Flush()
		}
	}, func(t *testing.T, client *http.Client, f *front) {
		out, in := io.Pipe()
		response := f.post(t, client, "/", out, nil)
		lines := bufio.NewReader(response.Body)
		for i := range 3 {
			if _, err := fmt.Fprintf(in, "line %d\n", i); err != nil {
				t.Fatal(err)
			}
			if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("echo line %d\n", i) {
				t.Fatalf("%q, %v", line, err)
			}
		}
		_ = in.Close()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

// TestServerSentEvents waits for each event before the upstream may send the next.
func TestServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "id: %d\ndata: x\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	}, func(t *testing.T, client *http.Client, f *front) {
		response := f.post(t, client, "/", http.NoBody, nil)
		lines := bufio.NewReader(response.Body)
		for i := range 3 {
			var event string
			for !strings.HasSuffix(event, "\n\n") {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				event += line
			}
			if event != fmt.Sprintf("id: %d\ndata: x\n\n", i) {
				t.Fatalf("%q", event)
			}
			next <- struct{}{}
		}
	})
}

// TestTrailers sends trailers in both directions. Trailers of a request that would add to what was decided on do not
// pass.
func TestTrailers(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(w, "%s %q", body, r.Trailer)
		w.Header().Set("X-Sum", "of the response")
		w.Header().Set(http.TrailerPrefix+"X-Late", "late")
	}, func(t *testing.T, client *http.Client, f *front) {
		trailer := http.Header{"X-Sum": nil, "X-Keyward-Group": nil, "X-Api-Key": nil, "X-Keyward_project": nil,
			"X-Forwarded-For": nil, "Cookie": nil}
		if !strings.HasPrefix(t.Name(), "TestTrailers/h2c") { // which refuses it
			trailer["Authorization"] = nil
		}
		body := &atEnd{Reader: strings.NewReader("body"), then: func() {
			for name := range trailer {
				trailer[name] = []string{"of the request"}
			}
		}}
		response := f.post(t, client, "/", body, func(r *http.Request) { r.Trailer = trailer })
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != `body map["X-Sum":["of the request"]]` {
			t.Errorf("%s, %v", text, err)
		}
		if response.Trailer.Get("X-Sum") != "of the response" || response.Trailer.Get("X-Late") != "late" {
			t.Errorf("%q", response.Trailer)
		}
	})
}

// atEnd is a body of unknown length that signals when it was read.
type atEnd struct {
	io.Reader

	then func()
}

func (b *atEnd) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) && b.then != nil {
		b.then()
	}
	return n, err
}

// TestExpectContinue lets the client send its body only if the upstream asks for it. In HTTP/2 net/http asks as soon as
// the body is read, and does not pass the upstream's request on.
func TestExpectContinue(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}, func(t *testing.T, client *http.Client, f *front) {
		for path, want := range map[string]int{"/taken": http.StatusOK, "/refused": http.StatusRequestEntityTooLarge} {
			asked := false
			response := f.post(t, client, path, &atEnd{Reader: strings.NewReader("body")}, func(r *http.Request) {
				r.ContentLength = 4
				r.Header.Set("Expect", "100-continue")
				*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got100Continue: func() { asked = true }}))
			})
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != want || want == http.StatusOK && string(text) != "body" ||
				response.ProtoMajor == 1 && asked != (want == http.StatusOK) {
				t.Errorf("%s: %d %q, %v, asked for the body: %v", path, response.StatusCode, text, err, asked)
			}
		}
	})
}

func TestInformationalResponses(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	}, func(t *testing.T, client *http.Client, f *front) {
		var hints string
		response := f.post(t, client, "/", http.NoBody, func(r *http.Request) {
			*r = *r.WithContext(httptrace.WithClientTrace(r.Context(),
				&httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					hints = fmt.Sprint(code, header["Link"])
					return nil
				}}))
		})
		if response.StatusCode != http.StatusNoContent || hints != "103 [</style.css>; rel=preload]" {
			t.Errorf("%d, hints %s", response.StatusCode, hints)
		}
	})
}

// TestMessagesWithoutBody is about lengths that belong to another response.
func TestMessagesWithoutBody(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Length", "4711")
		if r.Method != http.MethodHead {
			t.Errorf("method %s", r.Method)
		}
	}, func(t *testing.T, client *http.Client, f *front) {
		head := f.post(t, client, "/", http.NoBody, func(r *http.Request) { r.Method = http.MethodHead })
		if body, err := io.ReadAll(head.Body); err != nil || len(body) > 0 || head.StatusCode != http.StatusOK ||
			head.ContentLength != 4711 {
			t.Errorf("HEAD: %d %q, %d, %v", head.StatusCode, body, head.ContentLength, err)
		}
		cached := f.post(t, client, "/", http.NoBody, func(r *http.Request) { r.Header.Set("If-None-Match", `"1"`) })
		if body, err := io.ReadAll(cached.Body); err != nil || len(body) > 0 || cached.StatusCode != http.StatusNotModified ||
			cached.Header.Get("Etag") != `"1"` {
			t.Errorf("304: %d %q, %v", cached.StatusCode, body, err)
		}
	})
}

// TestLargeBodies go in both directions, with an unknown length.
func TestLargeBodies(t *testing.T) {
	const size = 100 << 20
	content := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }
	sum := func(r io.Reader) string {
		hash := sha256.New()
		n, err := io.Copy(hash, r)
		return fmt.Sprintf("%d %x %v", n, hash.Sum(nil), err)
	}
	want := sum(content())
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
		w.Header().Set("X-Sum", sum(r.Body))
		_, _ = io.Copy(w, content())
	}, Config{})
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			response := f.post(t, client, "/", &atEnd{Reader: content()}, nil)
			if got := response.Header.Get("X-Sum"); got != want || response.Header.Get("X-Length") != "-1" {
				t.Errorf("up: %s, want %s", got, want)
			}
			if got := sum(response.Body); got != want || response.ContentLength != -1 {
				t.Errorf("down: %s, want %s", got, want)
			}
		})
	}
}
