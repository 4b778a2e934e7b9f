package sender_test

import (
	"net/http"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// TestOTLP: what is sent is what the service of OpenTelemetry receives, and its response is understood.
func TestOTLP(t *testing.T) {
	r := newReceiver(t)
	to := newSender(t, r.sink(t, config.OTLP, func(s *config.Sink) { s.URL.Path = "" }))
	at := time.Date(2026, 11, 27, 8, 0, 0, 5e6, time.UTC)
	body := `{"id":"a/1","source":"/keyward/acme","type":"dev.keyward.key.rotated.v1","specversion":"1.0","subject":"acme/web"}`
	records := []sinks.Record{{ID: "a/1", Type: "dev.keyward.key.rotated.v1", Time: at, Body: []byte(body)}, {Type: "b", Time: at, Body: []byte(`{}`)}}
	if rejected, err := to.Send(t.Context(), records); err != nil || rejected != 0 {
		t.Fatal(rejected, err)
	}
	got := r.all()[0]
	if got.path != "/v1/logs" || got.header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("%+v", got)
	}
	var request collogspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(got.body, &request); err != nil {
		t.Fatal(err)
	}
	logs := request.ResourceLogs[0].ScopeLogs[0].LogRecords
	first := logs[0]
	if len(logs) != 2 || len(request.ProtoReflect().GetUnknown()) > 0 || first.Body.GetStringValue() != body || first.EventName != records[0].Type ||
		first.TimeUnixNano != uint64(at.UnixNano()) || first.ObservedTimeUnixNano != exampleInstant*1e9 {
		t.Errorf("%v", &request)
	}
	attributes := map[string]string{}
	for _, attribute := range first.Attributes {
		attributes[attribute.Key] = attribute.Value.GetStringValue()
	}
	if attributes["cloudevents.event_id"] != "a/1" || attributes["cloudevents.event_subject"] != "acme/web" || len(attributes) != 5 {
		t.Errorf("%v", attributes)
	}

	answer := func(message proto.Message, tail ...byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answer = func(w http.ResponseWriter, _ *http.Request) {
			encoded, err := proto.Marshal(message)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(append(encoded, tail...))
		}
	}
	partial := &collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{
		RejectedLogRecords: 1, ErrorMessage: "too old",
	}}
	for _, test := range []struct {
		message  proto.Message
		tail     []byte
		rejected int
	}{
		{&collogspb.ExportLogsServiceResponse{}, nil, 0},
		{partial, nil, 1},
		{&collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{ErrorMessage: "a warning"}}, nil, 0},
		{&collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: 99}}, nil, 2},
		{&collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: -1}}, nil, 0},
		{partial, []byte{0xff, 0xff}, 0}, // cannot be read
	} {
		answer(test.message, test.tail...)
		if rejected, err := to.Send(t.Context(), records); err != nil || rejected != test.rejected {
			t.Errorf("%v: %d, %v", test.message, rejected, err)
		}
	}
	if _, err := to.Send(t.Context(), []sinks.Record{{Body: []byte("no event")}}); reasonOf(t, err) != sinks.ReasonRefused {
		t.Error(err)
	}
}
