// Package accesslog takes in what Envoy tells of finished requests: the gRPC service
// envoy.service.accesslog.v3.AccessLogService. Whoever reaches the port can send such entries, so an entry
// counts only with the receipt that the integration extauthz gave along with a decision, in the dynamic
// metadata, and once; for whom is what was decided, whatever else the entry says.
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

// MetadataNamespace is where Envoy's filter keeps the metadata of a decision.
const MetadataNamespace = "envoy.filters.http.ext_authz"

// MetadataReceipt is the field in it that holds the receipt.
const MetadataReceipt = "receipt"

// Response is what was sent to the holder of a key.
type Response struct {
	Group     string // namespace/name
	KeyID     string
	BodyBytes uint64
}

// Recorder hears of every response that has a key. It must not block, and it is called by
// many streams at once.
type Recorder interface {
	RecordResponse(r Response)
}

// Server takes in access logs. Nothing waits in it: an entry is handed over before the next
// message is read, so a sender that is faster than that is held back by gRPC's flow control,
// and Envoy drops what it cannot send. Decisions do not wait for it.
type Server struct {
	accesslogv3.UnimplementedAccessLogServiceServer

	receipts *Receipts
	recorder Recorder
	closing  chan struct{}
	close    sync.Once

	recorded, forged, unattributed, other prometheus.Counter

	bytes prometheus.Counter
}

// New returns a server that hands entries with a receipt to a recorder, which may be nil, and
// registers its metrics with metrics.
func New(receipts *Receipts, recorder Recorder, metrics prometheus.Registerer) *Server {
	entries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_validator_access_log_entries_total",
		Help: "Entries of Envoy's access logs by outcome: recorded, forged, where this server has not allowed the request or has counted it already, unattributed, without a receipt, or other, where it is not of HTTP or the response goes on.",
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

// Close ends all streams. They have no end of their own, and a server that waits for them
// would never be done; Envoy opens them again, elsewhere.
func (s *Server) Close() { s.close.Do(func() { close(s.closing) }) }

// StreamAccessLogs takes in one stream until either side ends it.
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
	default: // the response goes on; its last entry says all
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
