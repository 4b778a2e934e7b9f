package sender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const protobuf = "application/x-protobuf"

// logsPath is where OTLP/HTTP receives logs, if the URL has no path.
const logsPath = "/v1/logs"

// otlp sends events as log records over OTLP/HTTP.
type otlp struct{ *poster }

func newOTLP(s *config.Sink, clk clock.PassiveClock) (*otlp, error) {
	poster, err := newPoster(s, clk)
	if err != nil {
		return nil, err
	}
	if strings.Trim(poster.url.Path, "/") == "" {
		poster.url = poster.url.JoinPath(logsPath)
	}
	return &otlp{poster}, nil
}

// Send implements sinks.Sender.
func (o *otlp) Send(ctx context.Context, records []sinks.Record) (rejected int, err error) {
	body, err := o.encode(records)
	if err != nil {
		return 0, &sinks.Failure{Reason: sinks.ReasonRefused, Err: err}
	}
	response, err := o.post(ctx, http.Header{"Content-Type": {protobuf}}, body)
	if err != nil {
		return 0, err
	}
	return min(int(rejectedRecords(response)), len(records)), nil
}

// encode returns a request for the export of logs. Its message has the same field as LogsData, so that the package of the gRPC service,
// which is larger, is not needed.
func (o *otlp) encode(records []sinks.Record) ([]byte, error) {
	now := uint64(o.clock.Now().UnixNano()) //nolint:gosec // not before 1970
	all := make([]*logspb.LogRecord, len(records))
	for i, record := range records {
		attributes, err := decode(record.Body)
		if err != nil {
			return nil, err
		}
		one := &logspb.LogRecord{
			TimeUnixNano: uint64(record.Time.UnixNano()), ObservedTimeUnixNano: now, //nolint:gosec // not before 1970
			SeverityNumber: logspb.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO", EventName: record.Type,
			Body: stringValue(string(record.Body)),
		}
		// The names of OpenTelemetry's semantic conventions.
		for _, attribute := range []struct{ name, of string }{
			{"cloudevents.event_id", "id"}, {"cloudevents.event_source", "source"}, {"cloudevents.event_spec_version", "specversion"},
			{"cloudevents.event_subject", "subject"}, {"cloudevents.event_type", "type"},
		} {
			if value, has := attributes[attribute.of]; has {
				one.Attributes = append(one.Attributes, &commonpb.KeyValue{Key: attribute.name, Value: stringValue(text(value))})
			}
		}
		all[i] = one
	}
	body, err := proto.Marshal(&logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{
		Resource: &resourcepb.Resource{
			Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: stringValue("keyward-manager")}},
		},
		ScopeLogs: []*logspb.ScopeLogs{{Scope: &commonpb.InstrumentationScope{Name: "keyward.dev/sinks"}, LogRecords: all}},
	}}})
	if err != nil {
		return nil, fmt.Errorf("encoding log records: %w", err)
	}
	return body, nil
}

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(s, "\uFFFD")}}
}

// rejectedRecords reads from a response how many records were not accepted: ExportLogsServiceResponse.partial_success.
// rejected_log_records. OTLP forbids to send them again.
func rejectedRecords(response []byte) int64 {
	partial, err := lastField(response, 1, protowire.BytesType)
	if err != nil || partial == nil {
		return 0
	}
	message, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	count, err := lastField(message, 1, protowire.VarintType)
	if err != nil || count == nil {
		return 0
	}
	value, n := protowire.ConsumeVarint(count)
	if n < 0 || value > 1<<31 {
		return 0
	}
	return int64(value)
}

var errMessage = errors.New("the message cannot be read")

// lastField returns what follows the tag of the last field with the number and type; nil if there is none.
func lastField(message []byte, number protowire.Number, kind protowire.Type) (value []byte, err error) {
	for len(message) > 0 {
		found, has, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, errMessage
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(found, has, message)
		if size < 0 {
			return nil, errMessage
		}
		if found == number && has == kind {
			value = message[:size]
		}
		message = message[size:]
	}
	return value, nil
}
