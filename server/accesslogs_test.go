package server

import (
	"context"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/keyward-dev/keyward/server/integrations/envoy/accesslog"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// forged is what anybody can make up who knows the name of a Group.
var forged = map[string]any{"group": "tenants/acme", "project": "default", "key_id": "k1", "code": "allowed"}

func logEntry(t *testing.T, bytes uint64, said map[string]any) *accesslogdatav3.HTTPAccessLogEntry {
	t.Helper()
	metadata, err := structpb.NewStruct(said)
	if err != nil {
		t.Fatal(err)
	}
	return logEntryOf(bytes, metadata)
}

func logEntryOf(bytes uint64, metadata *structpb.Struct) *accesslogdatav3.HTTPAccessLogEntry {
	all := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{accesslog.MetadataNamespace: metadata}}
	return &accesslogdatav3.HTTPAccessLogEntry{
		CommonProperties: &accesslogdatav3.AccessLogCommon{Metadata: all},
		Response:         &accesslogdatav3.HTTPResponseProperties{ResponseBodyBytes: bytes},
	}
}

// sendLogs sends entries and waits until the server has read all.
func sendLogs(ctx context.Context, conn *grpc.ClientConn, entries ...*accesslogdatav3.HTTPAccessLogEntry) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
	}}) // the response says what is wrong with it
	_, err = stream.CloseAndRecv()
	return err
}

func dialGRPC(t *testing.T, v *validator) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(v.addresses.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestAccessLogsAreRefusedByDefault: unless the operator accepts them, nobody who reaches the port can have anything
// counted.
func TestAccessLogsAreRefusedByDefault(t *testing.T) {
	m := fakemanager.Start(t)
	v := start(t, configFor(t, m))
	m.Next().Send(catchUp(fixture.Mint(t)))
	waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == 200 })
	if err := sendLogs(t.Context(), dialGRPC(t, v), logEntry(t, 1<<40, forged)); status.Code(err) != codes.Unimplemented {
		t.Errorf("the response to the log is %v", err)
	}
	if metrics := metricsOf(t, v); strings.Contains(metrics, "keyward_validator_access_log_response_bytes_total 1.0") {
		t.Error("the forged entry was counted")
	}
}

// TestAccessLogsCountWhatWasAllowed, each request once, regardless of what else the entries say.
func TestAccessLogsCountWhatWasAllowed(t *testing.T) {
	m := fakemanager.Start(t)
	key := fixture.Mint(t)
	v := start(t, configFor(t, m, "--envoy-access-log"))
	m.Next().Send(catchUp(key))
	waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == 200 })
	conn := dialGRPC(t, v)
	allowed := func() *structpb.Struct {
		t.Helper()
		response, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: "GET", Host: "content.example", Path: "/a", Scheme: "https", Headers: map[string]string{"authorization": "Bearer " +
					key.Reveal()},
			}},
		}})
		if err != nil || response.GetStatus().GetCode() != 0 {
			t.Fatalf("%v, %v", response, err)
		}
		return response.GetDynamicMetadata()
	}
	one, two := allowed(), allowed()
	changed := two.AsMap()
	changed["group"], changed["key_id"] = "tenants/other", "k2" // it is counted for the Group that it was decided for
	guessed := one.AsMap()
	guessed["receipt"] = strings.Repeat("A", len(one.AsMap()["receipt"].(string))) //nolint:forcetypeassert // a test that fails
	if err := sendLogs(t.Context(), conn,
		logEntry(t, 1<<40, forged),
		logEntry(t, 1<<40, guessed),
		logEntryOf(1000, one), logEntryOf(1<<40, one), // again
		logEntry(t, 500, changed),
	); err != nil {
		t.Fatal(err)
	}
	metrics := metricsOf(t, v)
	for _, line := range []string{
		`keyward_validator_access_log_entries_total{outcome="recorded"} 2`,
		`keyward_validator_access_log_entries_total{outcome="forged"} 2`,
		`keyward_validator_access_log_entries_total{outcome="unattributed"} 1`,
		`keyward_validator_access_log_response_bytes_total 1500`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// TestShutdownEndsAccessLogs: Envoy keeps that stream open as long as it runs.
func TestShutdownEndsAccessLogs(t *testing.T) {
	v := start(t, configFor(t, fakemanager.Start(t), "--shutdown-delay=0s", "--shutdown-timeout=20s", "--envoy-access-log"))
	stream, err := accesslogv3.NewAccessLogServiceClient(dialGRPC(t, v)).StreamAccessLogs(t.Context())
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
