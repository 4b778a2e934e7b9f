package accesslog

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
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

// sums adds up what it hears.
type sums struct {
	mu    sync.Mutex
	bytes map[Response]uint64 // by whom, without bytes
	wait  chan struct{}       // nil, or until then it does what it must not
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
func open(t *testing.T, recorder Recorder) (*Server, *grpc.Server, accesslogv3.AccessLogService_StreamAccessLogsClient) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := New(recorder, prometheus.NewRegistry()), grpc.NewServer()
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
	return &accesslogdatav3.HTTPAccessLogEntry{
		CommonProperties: &accesslogdatav3.AccessLogCommon{Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{MetadataNamespace: metadata}}},
		Response:         &accesslogdatav3.HTTPResponseProperties{ResponseBodyBytes: bytes},
	}
}

func batch(entries ...*accesslogdatav3.HTTPAccessLogEntry) *accesslogv3.StreamAccessLogsMessage {
	return &accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
	}}
}

var (
	ofOne = map[string]any{"group": "tenants/acme", "project": "media", "key_id": "k1", "code": "allowed"}
	ofTwo = map[string]any{"group": "tenants/acme", "project": "media", "key_id": "k2", "code": "allowed"}
)

func TestEntriesAreRecorded(t *testing.T) {
	heard := &sums{}
	s, _, stream := open(t, heard)
	tcp := &accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &accesslogv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: []*accesslogdatav3.TCPAccessLogEntry{{}}},
	}}
	elsewhere := entry(7, ofOne)
	elsewhere.CommonProperties.Metadata.FilterMetadata = map[string]*structpb.Struct{"another": elsewhere.CommonProperties.Metadata.FilterMetadata[MetadataNamespace]}
	for _, message := range []*accesslogv3.StreamAccessLogsMessage{
		{Identifier: &accesslogv3.StreamAccessLogsMessage_Identifier{LogName: "keyward"}},
		batch(entry(1, ofOne), entry(10, ofTwo)),
		batch(entry(100, ofOne)),
		batch(entry(7, map[string]any{"code": "key_unknown"}), entry(7, map[string]any{"group": 1, "key_id": true}), entry(7, nil), elsewhere, nil, &accesslogdatav3.HTTPAccessLogEntry{}),
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
	one, two := heard.bytes[Response{Group: "tenants/acme", Project: "media", KeyID: "k1"}], heard.bytes[Response{Group: "tenants/acme", Project: "media", KeyID: "k2"}]
	if len(heard.bytes) != 2 || one != 101 || two != 10 {
		t.Errorf("heard %v", heard.bytes)
	}
	for name, c := range map[string]struct {
		counter prometheus.Counter
		want    float64
	}{"recorded": {s.recorded, 3}, "unattributed": {s.unattributed, 6}, "other": {s.other, 1}, "bytes": {s.bytes, 111}} {
		if got := testutil.ToFloat64(c.counter); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestClose: a server that drains does not wait for a stream that has no end.
func TestClose(t *testing.T) {
	s, server, stream := open(t, nil)
	if err := stream.Send(batch(entry(1, ofOne))); err != nil {
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

// TestASlowRecorderHoldsItsSendersBack, and nothing piles up here.
func TestASlowRecorderHoldsItsSendersBack(t *testing.T) {
	heard := &sums{wait: make(chan struct{})}
	_, _, stream := open(t, heard)
	const messages, size = 100, 200
	entries := make([]*accesslogdatav3.HTTPAccessLogEntry, size)
	for i := range entries {
		entries[i] = entry(1, ofOne)
	}
	sent := make(chan error, 1)
	progress := make(chan int, messages)
	go func() {
		for i := range messages {
			if err := stream.Send(batch(entries...)); err != nil {
				sent <- err
				return
			}
			progress <- i
		}
		sent <- nil
	}()
	stalled := false
	for last := 0; !stalled; { // until nothing has been taken for a while
		select {
		case last = <-progress:
		case err := <-sent:
			t.Fatalf("all was taken: %v", err)
		case <-time.After(500 * time.Millisecond):
			t.Logf("%d messages of %d were taken", last+1, messages)
			stalled = true
		}
	}
	close(heard.wait)
	if err := <-sent; err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	if got := heard.bytes[Response{Group: "tenants/acme", Project: "media", KeyID: "k1"}]; got != messages*size {
		t.Errorf("%d bytes, want %d", got, messages*size)
	}
}
