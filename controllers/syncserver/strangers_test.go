package syncserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/util/cert"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/test/rogue"
)

// acceptor accepts every token, and serves a stream until end receives.
type acceptor struct {
	syncv1.UnimplementedSyncServiceServer

	opened, end chan struct{}
}

func (a *acceptor) Sync(stream syncv1.SyncService_SyncServer) error {
	defer known(stream.Context())()
	a.opened <- struct{}{}
	select {
	case <-a.end:
		return status.Error(codes.Aborted, "the end")
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// The number of unauthenticated connections is bounded, and the oldest is closed. An authenticated connection is not, until
// its stream has ended: then it counts as unauthenticated again.
func TestOldestUnauthenticatedConnectionIsClosed(t *testing.T) {
	for name, limits := range map[string][2]int{"in all": {3, 100}, "of one address": {100, 3}} {
		t.Run(name, func(t *testing.T) {
			s := newStrangers()
			s.inAll, s.ofOne = limits[0], limits[1]
			certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			service := &acceptor{opened: make(chan struct{}), end: make(chan struct{})}
			serving := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
			server := grpc.NewServer(grpc.Creds(s.credentials(credentials.NewTLS(serving))))
			syncv1.RegisterSyncServiceServer(server, service)
			go func() { _ = server.Serve(s.listener(listener)) }()
			t.Cleanup(server.Stop)

			trusting := &tls.Config{NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
			trusting.InsecureSkipVerify = true // the server's identity does not matter here
			client := &rogue.Client{Address: listener.Addr().String(), TLS: credentials.NewTLS(trusting)}
			connection, err := client.Dial()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = connection.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stream, err := rogue.Call(ctx, connection, "good")
			if err != nil {
				t.Fatal(err)
			}
			<-service.opened

			conns, err := client.Strangers(ctx, 5)
			for _, conn := range conns {
				t.Cleanup(func() { _ = conn.Close() })
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, conn := range conns[:2] { // the oldest
				if !isClosed(conn) {
					t.Errorf("connection %d stays open", i)
				}
			}
			if inAll, here := s.count(); inAll != 3 || here != 3 {
				t.Errorf("%d unauthenticated connections, %d of the address", inAll, here)
			}
			service.end <- struct{}{} // the authenticated connection is still open
			if _, err := stream.Recv(); status.Code(err) != codes.Aborted {
				t.Errorf("the authenticated connection was closed: %v", err)
			}
			if !isClosed(conns[2]) {
				t.Error("a stream has ended, and its connection still counts as authenticated")
			}
			_ = connection.Close()
			for _, conn := range conns {
				_ = conn.Close()
			}
			for inAll, here := s.count(); inAll+here > 0; inAll, here = s.count() {
				select {
				case <-ctx.Done():
					t.Fatalf("%d closed connections are still counted", inAll)
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
}

func (s *strangers) count() (inAll, here int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.from {
		here += of.Len()
	}
	return s.all.Len(), here
}

func isClosed(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, conn)
	var late net.Error
	return !errors.As(err, &late) || !late.Timeout()
}
