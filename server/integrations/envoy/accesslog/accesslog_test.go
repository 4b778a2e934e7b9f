package accesslog

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

// lastHour is when test requests were allowed, so that any number of bytes is plausible.
func lastHour() *Receipts {
	start, hours := time.Now(), atomic.Int64{}
	return newReceipts(1<<15, func() time.Time { return start.Add(time.Duration(hours.Add(1)) * time.Hour) }, prometheus.NewRegistry())
}

// sums adds up what it records.
type sums struct {
	mu    sync.Mutex
	bytes map[Response]uint64 // by response without bytes
	wait  chan struct{}       // nil, or it blocks until then, which it must not
}

func (s *sums) RecordResponse(r Response) {
	if s.wait != nil {
		<-s.wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes == nil {
		s.bytes = map[Response]uint64{}
	}
	n := r.BodyBytes
	r.BodyBytes = 0
	s.bytes[r] += n
}

// open starts a server and returns it with a stream to it.
func open(t *testing.T, receipts *Receipts, recorder Recorder) (*Server, *grpc.Server,
	accesslogv3.AccessLogService_StreamAccessLogsClient) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := New(receipts, recorder, prometheus.NewRegistry()), grpc.NewServer()
	s.Register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s, server, stream
}

func entry(bytes uint64, said map[string]any) *accesslogdatav3.HTTPAccessLogEntry {
	metadata, err := structpb.NewStruct(said)
	if err != nil {
		panic(err)
	}
	all := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{MetadataNamespace: metadata}}
	return &accesslogdatav3.HTTPAccessLogEntry{
		CommonProperties: &accesslogdatav3.AccessLogCommon{Metadata: all},
		Response:         &accesslogdatav3.HTTPResponseProperties{ResponseBodyBytes: bytes},
	}
}

func batch(entries ...*accesslogdatav3.HTTPAccessLogEntry) *accesslogv3.StreamAccessLogsMessage {
	return &accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
	}}
}

func with(receipt string) map[string]any {
	return map[string]any{"group": "tenants/forged", "project": "media", "key_id": "k9", "code": "allowed", MetadataReceipt: receipt}
}

func TestEntriesAreRecorded(t *testing.T) {
	recorder, receipts := &sums{}, lastHour()
	s, _, stream := open(t, receipts, recorder)
	ofOne := func() map[string]any { return with(receipts.Issue("tenants/acme", "k1")) }
	twice, goesOn := ofOne(), ofOne()
	begun := entry(7, goesOn)
	begun.CommonProperties.AccessLogType = accesslogdatav3.AccessLogType_DownstreamPeriodic
	tcp := &accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &accesslogv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: []*accesslogdatav3.TCPAccessLogEntry{{}}},
	}}
	elsewhere := entry(7, ofOne())
	elsewhere.CommonProperties.Metadata.FilterMetadata = map[string]*structpb.Struct{"another": elsewhere.CommonProperties.Metadata.FilterMetadata[MetadataNamespace]}
	for _, message := range []*accesslogv3.StreamAccessLogsMessage{
		{Identifier: &accesslogv3.StreamAccessLogsMessage_Identifier{LogName: "keyward"}},
		batch(entry(1, twice), entry(10, with(receipts.Issue("tenants/acme", "k2")))),
		batch(begun, entry(100, goesOn)),
		batch(entry(7, twice), entry(7, with("guessed")), entry(7, with(strings.Repeat("A", 22))),
			entry(7, with(strings.Repeat("A", 1<<20)))),
		batch(entry(7, map[string]any{"code": "key_unknown"}), entry(7,
			map[string]any{"group": "tenants/acme", "key_id": "k1", MetadataReceipt: 1}), entry(7, nil), elsewhere, nil,
			&accesslogdatav3.HTTPAccessLogEntry{}),
		tcp,
		batch(),
	} {
		if err := stream.Send(message); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	one, two := recorder.bytes[Response{Group: "tenants/acme", KeyID: "k1"}], recorder.bytes[Response{Group: "tenants/acme", KeyID: "k2"}]
	if len(recorder.bytes) != 2 || one != 101 || two != 10 {
		t.Errorf("recorded %v", recorder.bytes)
	}
	for name, c := range map[string]struct {
		counter prometheus.Counter
		want    float64
	}{"recorded": {s.recorded, 3}, "forged": {s.forged, 4}, "unattributed": {s.unattributed, 6}, "other": {s.other,
		2}, "bytes": {s.bytes, 111}} {
		if got := testutil.ToFloat64(c.counter); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestClose: a server that drains does not wait for a stream without an end.
func TestClose(t *testing.T) {
	receipts := lastHour()
	s, server, stream := open(t, receipts, nil)
	if err := stream.Send(batch(entry(1, with(receipts.Issue("tenants/acme", "k1"))))); err != nil {
		t.Fatal(err)
	}
	for testutil.ToFloat64(s.recorded) == 0 {
		runtime.Gosched()
	}
	s.Close()
	s.Close()
	server.GracefulStop()
	if err := stream.RecvMsg(&accesslogv3.StreamAccessLogsResponse{}); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
}

// TestSlowRecorderSlowsDownSenders, and nothing accumulates here.
func TestSlowRecorderSlowsDownSenders(t *testing.T) {
	recorder, receipts := &sums{wait: make(chan struct{})}, lastHour()
	_, _, stream := open(t, receipts, recorder)
	const messages, size = 100, 200
	sent := make(chan error, 1)
	progress := make(chan int, messages)
	go func() {
		for i := range messages {
			entries := make([]*accesslogdatav3.HTTPAccessLogEntry, size)
			for j := range entries {
				entries[j] = entry(1, with(receipts.Issue("tenants/acme", "k1")))
			}
			if err := stream.Send(batch(entries...)); err != nil {
				sent <- err
				return
			}
			progress <- i
		}
		sent <- nil
	}()
	stalled := false
	for last := 0; !stalled; { // until nothing has been read for a while
		select {
		case last = <-progress:
		case err := <-sent:
			t.Fatalf("all was taken: %v", err)
		case <-time.After(500 * time.Millisecond):
			t.Logf("%d messages of %d were taken", last+1, messages)
			stalled = true
		}
	}
	close(recorder.wait)
	if err := <-sent; err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	if got := recorder.bytes[Response{Group: "tenants/acme", KeyID: "k1"}]; got != messages*size {
		t.Errorf("%d bytes, want %d", got, messages*size)
	}
}
