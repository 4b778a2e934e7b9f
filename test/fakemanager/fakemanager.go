// Package fakemanager is the manager's end of the sync stream for tests of the validator: a real gRPC server with TLS on
// loopback. The test sends the updates.
package fakemanager

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

const (
	// ServerName is the name in the certificate of every Manager.
	ServerName = "keyward-sync.keyward-system.svc"
	// Token is the bearer token that it accepts.
	Token = "token-of-the-validator"

	timeout = 30 * time.Second
)

// Manager is one sync server. Streams arrive at Streams as validators open them.
type Manager struct {
	Address   string // host:port
	CAFile    string
	TokenFile string
	Streams   chan *Stream
	// Features are those of the Welcome: all, unless a test changes them before a validator connects.
	Features []syncv1.Feature

	t        testing.TB
	server   *grpc.Server
	refusals chan error
}

// Stream is one validator's stream.
type Stream struct {
	Hello    *syncv1.Hello
	Ended    chan error // receives how the validator ended it
	Versions chan *syncv1.VersionReport
	Keys     chan *syncv1.KeyReport
	Quotas   chan *syncv1.QuotaReport
	Traffic  chan *syncv1.TrafficReport
	Refusals chan *syncv1.KeyRefusalReport
	// Rejections are those of the Ack that Send has waited for; nil if it had none.
	Rejections *syncv1.Rejections

	t        testing.TB
	requests chan *syncv1.SyncRequest
	down     chan *syncv1.SyncResponse
	close    chan error
}

// AllFeatures are all features of the protocol.
func AllFeatures() (all []syncv1.Feature) {
	values := syncv1.Feature(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		all = append(all, syncv1.Feature(values.Get(i).Number()))
	}
	return all
}

// Start runs a manager on a free port until the test is over.
func Start(t testing.TB) *Manager {
	t.Helper()
	dir := t.TempDir()
	m := &Manager{t: t, Streams: make(chan *Stream, 16), CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token"),
		Features: AllFeatures(), refusals: make(chan error, 16)}
	certificate := m.certificate()
	write(t, m.TokenFile, []byte(Token+"\n"))
	m.listen(certificate, "127.0.0.1:0")
	return m
}

// Refuse has the next Hello answered with an error.
func (m *Manager) Refuse(err error) { m.refusals <- err }

// Restart ends all streams without a goodbye and listens on the same address again.
func (m *Manager) Restart() {
	m.t.Helper()
	m.server.Stop()
	m.listen(m.certificate(), m.Address)
}

// Stop ends all streams without a goodbye.
func (m *Manager) Stop() { m.server.Stop() }

func (m *Manager) listen(certificate tls.Certificate, address string) {
	m.t.Helper()
	listener, err := new(net.ListenConfig).Listen(m.t.Context(), "tcp", address)
	for end := time.Now().Add(20 * time.Second); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond) // while it was stopped, another process was given its port
		listener, err = new(net.ListenConfig).Listen(m.t.Context(), "tcp", address)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.Address = listener.Addr().String()
	m.server = grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&certificate)),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	syncv1.RegisterSyncServiceServer(m.server, &service{m: m})
	server := m.server
	go func() { _ = server.Serve(listener) }()
	m.t.Cleanup(server.Stop)
}

// Next returns the next stream that a validator opens.
func (m *Manager) Next() *Stream {
	m.t.Helper()
	select {
	case stream := <-m.Streams:
		return stream
	case <-time.After(timeout):
		m.t.Fatal("no validator connected")
		return nil
	}
}

// Send sends an update and waits until it is acknowledged.
func (s *Stream) Send(update *syncv1.Update) {
	s.t.Helper()
	s.Update(update)
	s.Acked(update.GetRevision())
}

// Update sends an update. A manager whose test has 16 acknowledgements to wait for reads nothing more.
func (s *Stream) Update(update *syncv1.Update) {
	s.Respond(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Update{Update: update}})
}

// Acked waits until the revision is acknowledged.
func (s *Stream) Acked(revision uint64) {
	s.t.Helper()
	select {
	case request := <-s.requests:
		if got := request.GetAck().GetRevision(); got != revision {
			s.t.Fatalf("revision %d acknowledged, want %d", got, revision)
		}
		s.Rejections = request.GetAck().GetRejections()
	case <-time.After(timeout):
		s.t.Fatalf("revision %d was not acknowledged", revision)
	}
}

// Respond sends any response.
func (s *Stream) Respond(response *syncv1.SyncResponse) { s.down <- response }

// Allow sends allowances.
func (s *Stream) Allow(allowances *syncv1.Allowances) {
	s.Respond(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Allowances{Allowances: allowances}})
}

// Record confirms requests of keys.
func (s *Stream) Record(keys *syncv1.KeysRecorded) {
	s.Respond(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Keys{Keys: keys}})
}

// SetPeers sends how many servers there are.
func (s *Stream) SetPeers(servers *syncv1.Servers) {
	s.Respond(&syncv1.SyncResponse{Message: &syncv1.SyncResponse_Servers{Servers: servers}})
}

// Close ends the stream with an error.
func (s *Stream) Close(err error) { s.close <- err }

// Goodbye waits until the validator ends the stream, and returns the error; nil if it closed the stream properly.
func (s *Stream) Goodbye() error {
	s.t.Helper()
	select {
	case err := <-s.Ended:
		return err
	case <-time.After(timeout):
		s.t.Fatal("the validator did not close the stream")
		return nil
	}
}

type service struct {
	syncv1.UnimplementedSyncServiceServer

	m *Manager
}

// Sync implements as much of the protocol as tests need.
func (s *service) Sync(stream grpc.BidiStreamingServer[syncv1.SyncRequest, syncv1.SyncResponse]) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+Token {
		return status.Error(codes.Unauthenticated, "the token is not accepted")
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	select {
	case err := <-s.m.refusals:
		return err
	default:
	}
	open := &Stream{
		Hello: first.GetHello(), Ended: make(chan error, 1), t: s.m.t,
		Versions: make(chan *syncv1.VersionReport, 1024), Keys: make(chan *syncv1.KeyReport, 1024),
		Quotas: make(chan *syncv1.QuotaReport, 1024), Traffic: make(chan *syncv1.TrafficReport, 1024),
		Refusals: make(chan *syncv1.KeyRefusalReport, 1024), requests: make(chan *syncv1.SyncRequest, 16),
		down: make(chan *syncv1.SyncResponse, 1024), close: make(chan error, 1),
	}
	welcome := &syncv1.SyncResponse{Message: &syncv1.SyncResponse_Welcome{Welcome: &syncv1.Welcome{Features: s.m.Features}}}
	if err := stream.Send(welcome); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			switch message := request.GetMessage().(type) {
			case *syncv1.SyncRequest_Versions:
				open.Versions <- message.Versions
			case *syncv1.SyncRequest_Keys:
				open.Keys <- message.Keys
			case *syncv1.SyncRequest_Quotas:
				open.Quotas <- message.Quotas
				if len(message.Quotas.GetGroups()) > 0 {
					open.Allow(recorded(message.Quotas))
				}
			case *syncv1.SyncRequest_Traffic:
				open.Traffic <- message.Traffic
			case *syncv1.SyncRequest_Refusals:
				open.Refusals <- message.Refusals
			default:
				open.requests <- request
			}
		}
	}()
	s.m.Streams <- open
	for {
		select {
		case response := <-open.down:
			if err := stream.Send(response); err != nil {
				return err
			}
		case err := <-open.close:
			return err
		case err := <-ended:
			if err.Error() == "EOF" {
				err = nil
			}
			open.Ended <- err
			return err
		}
	}
}

// recorded returns the confirmation that everything that was reported is persisted.
func recorded(report *syncv1.QuotaReport) *syncv1.Allowances {
	allowances := &syncv1.Allowances{NowMs: time.Now().UnixMilli()}
	for _, use := range report.GetGroups() {
		allowances.Groups = append(allowances.Groups, &syncv1.Allowance{
			Group: use.GetGroup(), Period: use.GetPeriod(), Leased: use.GetLeased(), Sequence: use.GetSequence(), Recorded: use,
		})
	}
	return allowances
}

// certificate makes a new authority with one certificate, and writes the CA file.
func (m *Manager) certificate() tls.Certificate {
	m.t.Helper()
	der, key := newCertificate(m.t, ServerName)
	write(m.t, m.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
