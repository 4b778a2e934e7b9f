// Package accesslog accepts what Envoy reports about finished requests: the gRPC service
// envoy.service.accesslog.v3.AccessLogService. Anybody who reaches the port can send such entries. So an entry counts
// only with the receipt that the integration extauthz added to the decision, in the dynamic metadata, and only once.
// The receipt also determines the group and key, regardless of what the entry says.
package accesslog

import (
	"errors"
	"io"
	"sync"

	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// MetadataNamespace is where Envoy's filter stores the metadata of a decision.
const MetadataNamespace = "envoy.filters.http.ext_authz"

// MetadataReceipt is the field of the metadata that contains the receipt.
const MetadataReceipt = "receipt"

// Response is a response that was sent to the holder of a key.
type Response struct {
	Group     string // namespace/name
	KeyID     string
	BodyBytes uint64
}

// Recorder is notified of every response to a request with a key. It must not block, and many streams call it at once.
type Recorder interface {
	RecordResponse(r Response)
}

// Server accepts access logs. It buffers nothing: it passes an entry on before it reads the next message, so that
// gRPC's flow control slows down a sender that is faster, and Envoy drops what it cannot send. Decisions do not wait
// for it.
type Server struct {
	accesslogv3.UnimplementedAccessLogServiceServer

	receipts *Receipts
	recorder Recorder
	closing  chan struct{}
	close    sync.Once

	recorded, forged, unattributed, other prometheus.Counter

	bytes prometheus.Counter
}

// New returns a server that passes entries with a receipt to a recorder, which may be nil, and registers its metrics
// with metrics.
func New(receipts *Receipts, recorder Recorder, metrics prometheus.Registerer) *Server {
	entries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_validator_access_log_entries_total",
		Help: "Entries of Envoy's access logs by outcome: recorded; forged, if this server has not allowed the request or has " +
			"counted it already; " +
			"unattributed, without a receipt; or other, if it is not about HTTP or the response continues.",
	}, []string{"outcome"})
	s := &Server{
		receipts:     receipts,
		recorder:     recorder,
		closing:      make(chan struct{}),
		recorded:     entries.WithLabelValues("recorded"),
		forged:       entries.WithLabelValues("forged"),
		unattributed: entries.WithLabelValues("unattributed"),
		other:        entries.WithLabelValues("other"),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyward_validator_access_log_response_bytes_total",
			Help: "Bytes of response bodies in the entries that were recorded.",
		}),
	}
	metrics.MustRegister(entries, s.bytes)
	return s
}

// Register adds the service to a gRPC server.
func (s *Server) Register(server *grpc.Server) { accesslogv3.RegisterAccessLogServiceServer(server, s) }

// Close ends all streams. They have no end of their own, so that a server that waits for them would never be done.
// Envoy opens them again, elsewhere.
func (s *Server) Close() { s.close.Do(func() { close(s.closing) }) }

// StreamAccessLogs reads one stream until either side ends it.
func (s *Server) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	read := make(chan error, 1)
	go func() { read <- s.read(stream) }() // ends with the stream, when this function has returned
	select {
	case err := <-read:
		if !errors.Is(err, io.EOF) {
			return err
		}
	case <-s.closing:
	}
	return stream.SendAndClose(&accesslogv3.StreamAccessLogsResponse{})
}

func (s *Server) read(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, entry := range message.GetHttpLogs().GetLogEntry() {
			s.record(entry)
		}
		s.other.Add(float64(len(message.GetTcpLogs().GetLogEntry())))
	}
}

func (s *Server) record(entry *accesslogdatav3.HTTPAccessLogEntry) {
	common := entry.GetCommonProperties()
	switch common.GetAccessLogType() {
	case accesslogdatav3.AccessLogType_NotSet, accesslogdatav3.AccessLogType_DownstreamEnd:
	default: // the response continues; its last entry is complete
		s.other.Inc()
		return
	}
	text := common.GetMetadata().GetFilterMetadata()[MetadataNamespace].GetFields()[MetadataReceipt].GetStringValue()
	if text == "" {
		s.unattributed.Inc()
		return
	}
	response, known := s.receipts.redeem(text, entry.GetResponse().GetResponseBodyBytes())
	if !known {
		s.forged.Inc()
		return
	}
	s.recorded.Inc()
	s.bytes.Add(float64(response.BodyBytes))
	if s.recorder != nil {
		s.recorder.RecordResponse(response)
	}
}
