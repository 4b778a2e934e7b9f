package server

import (
	"strings"
	"testing"

	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keyward-dev/keyward/server/managertest"
)

// TestShutdownEndsAccessLogs: Envoy keeps that stream open for as long as it lives.
func TestShutdownEndsAccessLogs(t *testing.T) {
	v := start(t, configFor(t, managertest.Start(t), "--shutdown-delay=0s", "--shutdown-timeout=20s"))
	conn, err := grpc.NewClient(v.addresses.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*accesslogdatav3.HTTPAccessLogEntry{{}}},
	}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the entry has arrived", func() bool {
		return strings.Contains(metricsOf(t, v), `keyward_validator_access_log_entries_total{outcome="unattributed"} 1`)
	})
	v.stop()
	if err := <-v.done; err != nil {
		t.Error(err)
	}
	if strings.Contains(v.logs.String(), "cut off") {
		t.Errorf("the stream was waited for: %s", v.logs)
	}
}
