package admissionserver_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/test/cost"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
)

// serve serves the hook within bounds.
func serve(t *testing.T, hook http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	admissionserver.Bounded(webhook.NewServer(webhook.Options{WebhookMux: mux}), clock.RealClock{}).Register("/hook", hook)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestBodies(t *testing.T) {
	digest := func(r io.Reader) string {
		sum := sha256.New()
		_, err := io.Copy(sum, r)
		return fmt.Sprintf("%x %v", sum.Sum(nil), err)
	}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, digest(r.Body)) })
	list := func(n int) string { return "[" + strings.Repeat("0,", n-1) + "0]" }
	for name, test := range map[string]struct {
		body string
		want int
	}{
		"an object":                 {`{"a":[1,2,{"b":"]}\\\",,,,"}]}`, 200},
		"nothing":                   {"", 200},
		"no JSON":                   {"]]]]}}}", 200},
		"a list as long as allowed": {list(1024), 200},
		"a list that is longer":     {`{"a":` + list(1025) + `}`, 413},
		"many lists":                {"[" + strings.Repeat(list(1000)+",", 300) + "0]", 413},
		"deep":                      {strings.Repeat("[", 64), 413},
		"a text without an end":     {`{"a":"\`, 413},
		"a text with commas":        {`{"a":"` + strings.Repeat(",", 1<<20) + `"}`, 200},
		"as large as allowed":       {`"` + strings.Repeat("x", 4<<20-2) + `"`, 200},
		"larger":                    {`"` + strings.Repeat("x", 4<<20) + `"`, 413},
		"an object of many members": {"{" + strings.Repeat(`"a":0,`, 2000) + `"b":0}`, 413},
	} {
		t.Run(name, func(t *testing.T) {
			post := func() (*http.Response, error) {
				return http.Post(server.URL+"/hook", "application/json", strings.NewReader(test.body))
			}
			response, err := post()
			for range 3 { // a busy machine may be too slow for the bound of a chunk
				if err != nil || response.StatusCode != http.StatusRequestTimeout {
					break
				}
				_ = response.Body.Close()
				response, err = post()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			echo, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != test.want || test.want == 200 && string(echo) != digest(strings.NewReader(test.body)) {
				t.Errorf("got %s, %v: %.100q", response.Status, err, echo)
			}
		})
	}
	t.Run("a response that is too large", func(t *testing.T) {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 1024 {
				_, _ = w.Write(make([]byte, 1024))
			}
		})
		response, err := http.Post(server.URL+"/hook", "application/json", strings.NewReader("{}"))
		if err != nil || response.StatusCode != http.StatusInternalServerError {
			t.Errorf("got %v, %v", response, err)
		}
		_ = response.Body.Close()
	})
	t.Run("of unknown length", func(t *testing.T) {
		response, err := http.Post(server.URL+"/hook", "application/json", io.MultiReader(strings.NewReader("{}")))
		if err != nil || response.StatusCode != http.StatusLengthRequired {
			t.Errorf("got %v, %v", response, err)
		}
		_ = response.Body.Close()
	})
}

// TestSlowBody: a body that does not arrive is given up, and does not keep others out.
func TestSlowBody(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	slow := make([]net.Conn, 2) // as much as may be in memory
	for i := range slow {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := fmt.Fprintf(connection, "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{", 4<<20); err != nil {
			t.Fatal(err)
		}
		slow[i] = connection
	}
	for _, connection := range slow {
		if err := connection.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil || response.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("got %v, %v", response, err)
		}
		_ = response.Body.Close()
	}
	response, err := http.Post(server.URL+"/hook", "application/json", strings.NewReader("{}"))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", response, err)
	}
	_ = response.Body.Close()
}

// TestInFlight: no more large requests are processed at once than fit into the memory, and none is lost.
func TestInFlight(t *testing.T) {
	var now, most atomic.Int64
	const requests = 4 // each waits for the others, which a busy machine reads slowly
	entered, release := make(chan struct{}, requests), make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		entered <- struct{}{}
		<-release
	})
	var done sync.WaitGroup
	body := `"` + strings.Repeat("x", 2<<20) + `"`
	for range requests {
		done.Go(func() {
			response, err := http.Post(server.URL+"/hook", "application/json", strings.NewReader(body))
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("got %v, %v", response, err)
				return
			}
			_ = response.Body.Close()
		})
	}
	<-entered // only one of a little more than 2 MiB fits into 4 MiB, which is the share of one address
	close(release)
	done.Wait()
	if most.Load() > 1 {
		t.Errorf("%d were worked on at once", most.Load())
	}
}

// TestDecoding: the memory for decoding what is accepted is proportional to its size.
func TestDecoding(t *testing.T) {
	decoded := 0
	var is cost.Cost
	into := func() any { return nil }
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		decoded++
		is = cost.Of(func() { _ = json.Unmarshal(body, into()) })
	})
	elements := strings.Repeat("0,", 1023) + "0"
	projects := strings.Repeat(`{"routes":[`+elements+`]},`, 250)
	for name, test := range map[string]struct {
		body string
		into func() any
	}{
		"versions of an ApiKey": {`{"status":{"versions":[` + elements + `]}}`, func() any { return &v1alpha1.ApiKey{} }},
		"very many versions": {`{"status":{"versions":[` + strings.Repeat("0,", 1<<20) + `0]}}`,
			func() any { return &v1alpha1.ApiKey{} }},
		"routes of a Group": {`{"spec":{"projects":[` + projects + `{}]}}`, func() any { return &v1alpha1.Group{} }},
		"objects without a kind": {"[" + strings.Repeat("["+strings.Repeat("{},", 1023)+"{}],", 250) + "0]",
			func() any { return new(any) }},
	} {
		t.Run(name, func(t *testing.T) {
			into, is = test.into, cost.Cost{}
			response, err := http.Post(server.URL+"/hook", "application/json", bytes.NewReader([]byte(test.body)))
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			t.Logf("%d bytes: %d allocated, %v", len(test.body), is.Allocated, is.Worked)
			if is.Allocated > 96<<20 || is.Worked > time.Second {
				t.Errorf("%d bytes of JSON cost %d bytes and %v", len(test.body), is.Allocated, is.Worked)
			}
		})
	}
	if decoded == 0 {
		t.Error("nothing was decoded")
	}
}
