package syncserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
)

// A validation server that does not answer for this long counts as disconnected.
const (
	keepaliveTime    = 5 * time.Second
	keepaliveTimeout = 5 * time.Second
	// window is the flow-control window of a stream, in bytes.
	window = 64 << 10
	// readBuffer is small, because servers send little, and every connection has one before it is authenticated. Write
	// buffers are shared.
	readBuffer = 4 << 10
)

// Server listens for validation servers while this replica leads.
type Server struct {
	// Address to listen on, host:port.
	Address string
	// Certificate for TLS, read at every handshake.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Client reviews tokens and access.
	Client client.Client
	Hub    *publish.Hub
	// Usage has when keys were last used. It asks the same Registry of sessions as the Hub.
	Usage *usage.Tracker
	// Quotas has what groups have used, and may use. It asks the same Registry of sessions, too.
	Quotas *quota.Aggregator
	// Traffic has what was refused of groups; if it is nil, that is not recorded.
	Traffic *traffic.Pending
	Clock   clock.WithTicker
	// Streams is how many streams all servers of one ServiceAccount may have; 0 is DefaultStreams.
	Streams int
	// Seals has the secret of the digests of the keys in Imported.
	Seals    *seal.Keeper
	Imported *publish.Imported
}

// NeedLeaderElection is true: a replica that does not lead must not listen.
func (s *Server) NeedLeaderElection() bool { return true }

// Start serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("sync")
	// It listens once the records are complete, so that a server that connects is up to date at once.
	select {
	case <-s.Hub.Opened():
	case <-ctx.Done():
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listening for validation servers: %w", err)
	}
	strangers := newStrangers()
	sessions.Store(s.Usage.Sessions)
	defer sessions.CompareAndSwap(s.Usage.Sessions, nil)
	server := grpc.NewServer(
		grpc.Creds(strangers.credentials(credentials.NewTLS(&tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: s.Certificate,
		}))),
		grpc.ReadBufferSize(readBuffer),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveTime, Timeout: keepaliveTimeout, MaxConnectionIdle: 2 * helloWithin,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxRequestBytes), // a Hello lists the groups that the server knows
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxConcurrentStreams(streamsOfPod),
		grpc.MaxHeaderListSize(2*maxToken),
		grpc.ConnectionTimeout(helloWithin),
		// The windows have a fixed size, so that a stream that nobody reads costs no more than that.
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(2*window),
	)
	syncv1.RegisterSyncServiceServer(server, s.service(log))
	stop := context.AfterFunc(ctx, server.Stop) // streams do not end on their own
	defer stop()
	log.Info("Listening for validation servers", "address", listener.Addr().String())
	if err := server.Serve(strangers.listener(listener)); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving validation servers: %w", err)
	}
	return nil
}

func (s *Server) service(log logr.Logger) *service {
	most := s.Streams
	if most <= 0 {
		most = DefaultStreams
	}
	access := access{client: s.Client, attempts: newAttempts(s.Clock)}
	exploring := rate.NewLimiter(explored, exploredAtOnce)
	return &service{
		hub: s.Hub, usage: s.Usage, quotas: s.Quotas, traffic: s.Traffic, access: access, streams: newStreams(most), clock: s.Clock, log: log,
		seals: s.Seals, imported: s.Imported,
		refusals: rate.NewLimiter(1, 100),
		registry: &registry{clock: s.Clock, byKey: map[string]*rights{}, make: func(id identity) *rights {
			ask := func(ctx context.Context, q groupName) (bool, error) { return access.mayValidate(ctx, id, q) }
			return newRights(ask, s.Clock, exploring, most)
		}},
	}
}
