package reverseproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fixture"
)

// front is a proxy in front of a handler, and a key that it accepts.
type front struct {
	handler *handler
	url     string
	address net.Addr
	key     string
	quotas  *quota.Tracker
	decided *atomic.Pointer[authorizer.Request] // the latest
}

type recorder struct {
	latest atomic.Pointer[authorizer.Request]
}

// Record implements authorizer.Recorder.
func (r *recorder) Record(_ string, _ time.Time, request *authorizer.Request, _ *authorizer.Result) {
	decided := *request
	r.latest.Store(&decided)
}

func start(t testing.TB, upstream http.HandlerFunc, config Config) *front {
	t.Helper()
	return startFor(t, upstream, config, &syncv1.Group{})
}

// startFor is for keys of a group with more fields.
func startFor(t testing.TB, upstream http.HandlerFunc, config Config, group *syncv1.Group) *front {
	t.Helper()
	key, log := fixture.Mint(t), slog.New(slog.DiscardHandler)
	update := fixture.Update(key)
	proto.Merge(group, update.Groups[0])
	group.Projects[0].Origins.AllowLocalhost = true
	group.Capabilities = []*syncv1.Capability{{Name: "write", Routes: []*syncv1.Route{{Methods: []string{"POST", "PUT", "DELETE"},
		Paths: []string{"/**"}}}}}
	update.Groups[0], update.Keys[0].Permissions = group, []string{"read", "write"}

	behind := httptest.NewServer(upstream)
	t.Cleanup(behind.Close)
	if config.Upstream == nil {
		var err error
		if config.Upstream, err = url.Parse(behind.URL); err != nil {
			t.Fatal(err)
		}
	}
	quotas := quota.New(prometheus.NewRegistry())
	decided, options := &recorder{}, []authorizer.Option{authorizer.WithQuota(quotas)}
	if _, benchmark := t.(*testing.B); !benchmark {
		options = append(options, authorizer.WithRecorder(decided), authorizer.WithKeys(credential.New(credential.Config{
			Parameters: []string{"token"}, Headers: []string{"X-Other-Key"}})))
	}
	h, ok := New(fixture.Authorizer(t, update, options...), config, log).(*handler)
	if !ok {
		t.Fatal("not a handler")
	}
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return &front{h, server.URL, server.Listener.Addr(), key.Reveal(), quotas, &decided.latest}
}

func (f *front) request(ctx context.Context, t *testing.T, target string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+f.key)
	return request
}

// reply is a response that was read completely.
type reply struct {
	status, major int
	body          string
}

func do(t *testing.T, client *http.Client, request *http.Request) reply {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.ProtoMajor, string(text)}
}

func TestUpstreamSeesTheOriginalRequest(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s|%s|%s|%s|%s|%q", r.Host, r.RequestURI, r.Header.Get("X-Forwarded-Host"),
			r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"), r.Header.Get("Authorization"))
	}, Config{})
	request := f.request(t.Context(), t, "/a%20b/c%3Fd/?x=1;y&z=%zz")
	request.Host = "cdn.acme.com:8443"
	request.Header.Set("X-Forwarded-For", "203.0.113.7")
	if got, want := do(t, http.DefaultClient,
		request).body, `cdn.acme.com:8443|/a%20b/c%3Fd/?x=1;y&z=%zz|cdn.acme.com:8443|http|127.0.0.1|""`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestKeepCredential(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) },
		Config{Stripping: httpapi.Stripping{KeepCredential: true}})
	if got := do(t, http.DefaultClient, f.request(t.Context(), t, "/")); got.body != "Bearer "+f.key {
		t.Error("the credential is gone")
	}
}

// TestConnectionCannotRemoveTheContext names injected headers as hop-by-hop ones, which a proxy drops.
func TestConnectionCannotRemoveTheContext(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Keyward-Group"))
	}, Config{})
	request := f.request(t.Context(), t, "/")
	request.Header.Set("Connection", "X-Keyward-Group, X-Keyward-Project")
	if got := do(t, http.DefaultClient, request); got.body != "tenants/acme" {
		t.Errorf("the upstream sees group %q", got.body)
	}
}

func TestStreams(t *testing.T) {
	next := make(chan struct{})
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "21") // also if its length is known
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "part %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	}, Config{})
	response, err := http.DefaultClient.Do(f.request(t.Context(), t, "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReader(response.Body)
	for i := range 3 {
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("part %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		next <- struct{}{} // the upstream sends no more before this part has arrived
	}
}

func TestHTTP2InCleartext(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Keyward-Group"))
	}, Config{})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	if got := do(t, &http.Client{Transport: transport}, f.request(t.Context(), t, "/")); got.body != "tenants/acme" || got.major != 2 {
		t.Errorf("%s over HTTP/%d", got.body, got.major)
	}
}

// refusing returns an address at which nobody listens, and nobody can: it is reserved until the test ends.
func refusing(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
}

func TestUpstreamFails(t *testing.T) {
	address := refusing(t)
	f := start(t, nil, Config{Upstream: &url.URL{Scheme: "http", Host: address}})
	if got := do(t, http.DefaultClient, f.request(t.Context(), t, "/")); got.status != http.StatusBadGateway ||
		!strings.Contains(got.body, `"upstream_failed"`) || strings.Contains(got.body, address) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestUpstreamIsTooSlow(t *testing.T) {
	done := make(chan struct{})
	f := start(t, func(http.ResponseWriter, *http.Request) { <-done }, Config{Timeout: 20 * time.Millisecond})
	defer close(done)
	if got := do(t, http.DefaultClient, f.request(t.Context(), t, "/")); got.status != http.StatusGatewayTimeout ||
		!strings.Contains(got.body, `"upstream_timeout"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestClientDisconnects(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	f := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done() // the upstream is notified
		close(gone)
	}, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if response, err := http.DefaultClient.Do(f.request(ctx, t, "/")); err == nil {
		_ = response.Body.Close()
		t.Error("a response to nobody")
	}
	<-gone
}

func BenchmarkProxy(b *testing.B) {
	f := start(b, func(http.ResponseWriter, *http.Request) {}, Config{})
	client := &http.Client{}
	b.ReportAllocs()
	for b.Loop() {
		request, _ := http.NewRequest(http.MethodGet, f.url+"/x", http.NoBody)
		request.Header.Set("Authorization", f.key)
		response, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}
