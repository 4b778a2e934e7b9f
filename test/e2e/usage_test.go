package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/server/integrations/envoy/accesslog"
)

// TestBytesToTheByte reads content of all kinds through two validation servers, in HTTP/1.1 and HTTP/2: the status counts
// what clients received in bodies, to the byte, also of downloads that were aborted, if the client had read everything that
// was sent. For a download that is aborted while more is on its way, that is counted, too: the client's connection had
// received it.
func TestBytesToTheByte(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick, flags: []string{"--last-used-resolution=1s"}})
	content := httptest.NewServer(http.HandlerFunc(serveKinds))
	t.Cleanup(content.Close)
	w.createGroup()
	var proxies []string
	for _, instance := range []string{"one", "two"} {
		v := w.startValidator(validatorSetup{instance: instance, upstream: content.URL, flags: []string{"--usage-interval=1s"}})
		v.awaitReady()
		proxies = append(proxies, "http://"+v.listens.Proxy.String())
	}
	key := w.mint("reader")
	d := &downloads{t: t, key: key}
	var all sync.WaitGroup
	for _, proxy := range proxies {
		for _, version := range []int{1, 2} {
			all.Go(func() {
				c := clientOf(version)
				defer c.CloseIdleConnections()
				for range 5 {
					for _, kind := range []string{"empty", "small", "chunked", "large", "cut"} {
						d.read(c, http.MethodGet, proxy+"/mkt/"+kind)
					}
					d.read(c, http.MethodHead, proxy+"/mkt/large")
					d.breakOff(c, proxy+"/mkt/waits", waitsAfter)
				}
				d.denied(c, proxy+"/prd/large")
			})
		}
	}
	all.Wait()
	usage := w.awaitUsage("acme", d.requests, d.bytes)
	t.Logf("%d bytes in %d requests", *usage.Bytes, *usage.Requests)

	// While more is on its way, what the client has read is a lower bound.
	c := clientOf(1)
	defer c.CloseIdleConnections()
	const read = 100_000
	before := *usage.Bytes
	d.breakOff(c, proxies[0]+"/mkt/endless", read)
	eventually(t, "the endless download to be counted", patience, func() error {
		usage = w.usage("acme")
		if ptr.Deref(usage.Requests, 0) != d.requests || ptr.Deref(usage.Bytes, 0) < before+read {
			return fmt.Errorf("of %d requests and at least %d bytes it says %+v", d.requests, before+read, usage)
		}
		return nil
	})
	t.Logf("of an endless download, %d bytes were read and %d counted", read, *usage.Bytes-before)
	w.awaitKey("reader", "counted", func(key *v1alpha1.ApiKey) bool {
		return key.Status.Usage != nil && *key.Status.Usage.Requests == d.requests
	})
}

const (
	waitsAfter = 70_001 // bytes
	largeSize  = 1<<20 + 7
)

// serveKinds serves content by the last part of its path.
func serveKinds(w http.ResponseWriter, r *http.Request) {
	write := func(n int) error {
		_, err := w.Write(bytes.Repeat([]byte("x"), n))
		return err
	}
	flush := func() { _ = http.NewResponseController(w).Flush() } // fails where the client is gone
	switch r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:] {
	case "empty":
		w.WriteHeader(http.StatusNoContent)
	case "small":
		_ = write(17)
	case "chunked":
		for i := range 20 {
			_ = write(i * 1001)
			flush()
		}
	case "large":
		_ = write(largeSize)
	case "cut":
		w.Header().Set("Content-Length", "100000")
		_ = write(40_003)
	case "waits":
		_ = write(waitsAfter)
		flush()
		<-r.Context().Done()
	case "endless":
		for r.Context().Err() == nil && write(32<<10) == nil {
			flush()
		}
	}
}

func clientOf(version int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetUnencryptedHTTP2(version == 2)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: patience}
}

// downloads counts what clients have received.
type downloads struct {
	t   *testing.T
	key string

	mu              sync.Mutex
	bytes, requests int64
}

func (d *downloads) do(ctx context.Context, c *http.Client, method, url string) *http.Response {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		d.t.Error(err)
		return nil
	}
	request.Header.Set("X-Api-Key", d.key)
	response, err := c.Do(request)
	if err != nil {
		d.t.Errorf("%s %s: %v", method, url, err)
		return nil
	}
	return response
}

func (d *downloads) count(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	d.bytes += n
}

// read reads to the end, which may be early.
func (d *downloads) read(c *http.Client, method, url string) {
	response := d.do(d.t.Context(), c, method, url)
	if response == nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	n, err := io.Copy(io.Discard, response.Body)
	if cut := strings.HasSuffix(url, "/cut"); cut != (err != nil) {
		d.t.Errorf("%s %s: %d bytes, %v", method, url, n, err)
	}
	d.count(n)
}

// breakOff reads a number of bytes, and closes the connection.
func (d *downloads) breakOff(c *http.Client, url string, n int64) {
	ctx, hangUp := context.WithCancel(d.t.Context())
	defer hangUp()
	response := d.do(ctx, c, http.MethodGet, url)
	if response == nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.CopyN(io.Discard, response.Body, n); err != nil {
		d.t.Errorf("%s: %v", url, err)
	}
	d.count(n)
}

// denied reads a response that is not counted.
func (d *downloads) denied(c *http.Client, url string) {
	if response := d.do(d.t.Context(), c, http.MethodGet, url); response != nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			d.t.Errorf("%s: %s", url, response.Status)
		}
	}
}

// usage returns the usage of the latest month in the GroupUsage of a Group.
func (w *world) usage(group string) v1alpha1.UsageCounts {
	w.t.Helper()
	u := &v1alpha1.GroupUsage{}
	err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: group}, u)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	if len(u.Status.Months) == 0 {
		return v1alpha1.UsageCounts{}
	}
	return u.Status.Months[0].UsageCounts
}

// awaitUsage waits until the GroupUsage of a Group has exactly this usage.
func (w *world) awaitUsage(group string, requests, bytes int64) v1alpha1.UsageCounts {
	w.t.Helper()
	usage := v1alpha1.UsageCounts{}
	eventually(w.t, "the usage in the GroupUsage of Group "+group, patience, func() error {
		usage = w.usage(group)
		if ptr.Deref(usage.Requests, 0) != requests || ptr.Deref(usage.Bytes, 0) != bytes {
			return fmt.Errorf("of %d requests and %d bytes it says %d and %d", requests, bytes, ptr.Deref(usage.Requests, 0),
				ptr.Deref(usage.Bytes, 0))
		}
		return nil
	})
	return usage
}

// TestReportedUsage reports usage that no integration saw, by POST /v1/usage, and bytes by Envoy's access logs of requests
// that were allowed: the statuses of the Group and of the key have the exact numbers. Reports that are wrong, or about a
// Group that the server may not validate, change nothing.
func TestReportedUsage(t *testing.T) {
	const token = "a-token-of-some-length"
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick, flags: []string{"--last-used-resolution=1s"}})
	w.createGroup()
	other := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "other"}}
	w.create(other)
	tokenFile := w.path("logs", w.namespace+".token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	setup := validatorSetup{instance: "reporter",
		flags: []string{"--usage-interval=1s", "--group=" + w.namespace + "/acme", "--admin-token-file=" + tokenFile, "--envoy-access-log"}}
	v := w.startValidator(setup)
	v.awaitReady()
	key := w.mint("web")
	id := w.awaitKey("web", "ready", isReady).Status.KeyID
	identity := w.namespace + "/acme"
	post := func(token, body string, want int) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://"+v.listens.Admin.String()+"/v1/usage", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := v.requests.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s, not %d", body, response.Status, want)
		}
	}
	refused := func() {
		t.Helper()
		post("another-token-of-length", `[{"group": "`+identity+`", "requests": 1}]`, 401)
		for _, body := range []string{
			`[{"group": "` + identity + `", "requests": 5, "bytes": 5}, {"group": "` + identity + `", "requests": -1}]`,
			`[{"group": "` + identity + `", "bytes": 18446744073709551615}]`,
			`[{"group": "` + identity + `", "bytes": 9223372036854775807}]`,
			`[{"group": "` + w.namespace + `/other", "requests": 1}]`,
			`[{"key": "no-such-key", "requests": 1}]`,
			`[{"group": "` + identity + `", "requests": 1}`,
			`{"group": "` + identity + `", "requests": 1}`,
		} {
			post(token, body, 400)
		}
	}
	refused()
	post(token, `[{"group": "`+identity+`", "requests": 3, "bytes": 81920}, {"key": "`+id+`", "requests": 4, "bytes": 4096}]`, 204)
	const answered = 50
	logs := v.accessLogs(t)
	for i := range answered {
		one := entry(v.allowed(t, key), uint64(1000+i))
		logs.send(t, one, one) // it counts once
	}
	forged, err := structpb.NewStruct(map[string]any{"group": identity, "project": "marketing", "key_id": id,
		"code": "allowed", "receipt": strings.Repeat("A", 22)})
	if err != nil {
		t.Fatal(err)
	}
	logs.send(t, entry(forged, 1<<40), entry(nil, 7), &accesslogdatav3.HTTPAccessLogEntry{})
	logs.close(t)
	logged := int64(answered*1000 + (answered-1)*answered/2)
	v.requires(t, key, "allowed")
	w.awaitUsage("acme", 8+answered, 81920+4096+logged)
	refused()

	// The server is restarted, which is another incarnation of it: counts continue, and nothing counts twice.
	v.signal(t, syscall.SIGTERM)
	<-v.done
	v.start()
	v.awaitReady()
	post(token, `[{"key": "`+id+`", "requests": 1, "bytes": 1}]`, 204)
	w.awaitUsage("acme", 9+answered, 81920+4096+logged+1)
	w.awaitKey("web", "counted", func(key *v1alpha1.ApiKey) bool {
		return key.Status.Usage != nil && *key.Status.Usage.Requests == 6+answered && key.Status.LastUsedAt != nil
	})
	if usage := w.usage("other"); ptr.Deref(usage.Requests, 0) != 0 {
		t.Errorf("of the other Group it says %+v", usage)
	}
}

// accessLogs is a stream of access logs, as Envoy sends it.
type accessLogs struct {
	accesslogv3.AccessLogService_StreamAccessLogsClient
}

func (v *validator) accessLogs(t *testing.T) accessLogs {
	t.Helper()
	conn, err := grpc.NewClient(v.listens.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return accessLogs{stream}
}

func (l accessLogs) send(t *testing.T, entries ...*accesslogdatav3.HTTPAccessLogEntry) {
	t.Helper()
	if err := l.Send(&accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
	}}); err != nil {
		t.Fatal(err)
	}
}

// close waits until everything is processed.
func (l accessLogs) close(t *testing.T) {
	t.Helper()
	if _, err := l.CloseAndRecv(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// entry is what Envoy logs about a response, with the metadata of the decision.
func entry(metadata *structpb.Struct, bytes uint64) *accesslogdatav3.HTTPAccessLogEntry {
	return &accesslogdatav3.HTTPAccessLogEntry{
		CommonProperties: &accesslogdatav3.AccessLogCommon{Metadata: &corev3.Metadata{
			FilterMetadata: map[string]*structpb.Struct{accesslog.MetadataNamespace: metadata},
		}},
		Response: &accesslogdatav3.HTTPResponseProperties{ResponseBodyBytes: bytes},
	}
}

// allowed sends a check as Envoy does, and returns the metadata that Envoy would put into its access log.
func (v *validator) allowed(t *testing.T, key string) *structpb.Struct {
	t.Helper()
	conn, err := grpc.NewClient(v.listens.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	response, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: "content.example", Path: "/mkt/scene", Scheme: "https",
			Headers: map[string]string{"authorization": "Bearer " + key},
		}},
	}})
	if err != nil || response.GetStatus().GetCode() != 0 {
		t.Fatalf("%v, %v", response, err)
	}
	return response.GetDynamicMetadata()
}
