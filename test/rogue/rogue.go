// Package rogue is a hostile client of the sync port: somebody with a token, with or without rights. It is for tests, and is
// not part of any shipped program.
package rogue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Client is a rogue. Its modes continue until their context ends, and return how often they repeated their action.
type Client struct {
	// Address of the sync port, and how to verify the server.
	Address string
	TLS     credentials.TransportCredentials
	// Token that it presents, and the name that it uses.
	Token, Instance string
	// Groups and Namespaces that it requests; both empty for all.
	Groups, Namespaces []string
}

// Stream is a stream with a connection of its own.
type Stream struct {
	grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse]
	connection *grpc.ClientConn
}

// Kill ends the connection as a crash does, without a goodbye.
func (s *Stream) Kill() { _ = s.connection.Close() }

// Dial connects, and sends nothing.
func (c *Client) Dial() (*grpc.ClientConn, error) {
	return grpc.NewClient(c.Address, grpc.WithTransportCredentials(c.TLS))
}

// Call opens a stream on a connection, with a token.
func Call(ctx context.Context, connection *grpc.ClientConn,
	token string) (grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], error) {
	return syncv1.NewSyncServiceClient(connection).Sync(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token))
}

// Hello returns the rogue's first message.
func (c *Client) Hello() *syncv1.Hello {
	return &syncv1.Hello{
		Instance: c.Instance, Incarnation: "rogue", Selector: &syncv1.GroupSelector{Groups: c.Groups, Namespaces: c.Namespaces},
		Features: []syncv1.Feature{
			syncv1.Feature_FEATURE_REJECTIONS, syncv1.Feature_FEATURE_VERSION_REPORTS, syncv1.Feature_FEATURE_KEY_REPORTS,
			syncv1.Feature_FEATURE_QUOTAS, syncv1.Feature_FEATURE_SERVERS, syncv1.Feature_FEATURE_TRAFFIC_REPORTS,
		},
	}
}

// Open sends Hello on a new connection.
func (c *Client) Open(ctx context.Context, hello *syncv1.Hello) (*Stream, error) {
	connection, err := c.Dial()
	if err != nil {
		return nil, err
	}
	stream, err := Call(ctx, connection, c.Token)
	if err == nil {
		err = stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}})
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the next Recv returns the reason
		_ = connection.Close()
		return nil, err
	}
	return &Stream{stream, connection}, nil
}

// CatchUp receives and acknowledges updates until it has everything.
func (s *Stream) CatchUp() error {
	for {
		response, err := s.Recv()
		if err != nil {
			return err
		}
		update := response.GetUpdate()
		if update == nil {
			continue
		}
		if err := s.Ack(update.GetRevision()); err != nil {
			return err
		}
		if update.GetCaughtUp() {
			return nil
		}
	}
}

// Ack acknowledges any revision.
func (s *Stream) Ack(revision uint64) error {
	return s.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Revision: revision}}})
}

// Uses reports the use of a number of versions that do not exist.
func (s *Stream) Uses(n int) error {
	uses := &syncv1.VersionReport{ThroughMs: time.Now().UnixMilli()}
	for range n {
		digest := make([]byte, 32)
		_, _ = rand.Read(digest) // never fails
		uses.Versions = append(uses.Versions, &syncv1.VersionUse{Digest: digest, LastMs: time.Now().UnixMilli()})
	}
	return s.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Versions{Versions: uses}})
}

// flooded is how many uses one message of Flood has.
const flooded = 4000

// Flood reports uses of versions and keys that do not exist, and of other tenants' Groups.
func (c *Client) Flood(ctx context.Context) int {
	return c.repeat(ctx, func(s *Stream) (sent int) {
		for ctx.Err() == nil && s.Uses(flooded) == nil {
			sent++
		}
		return sent
	})
}

// Hold connects, and reads nothing. When it is disconnected it reconnects.
func (c *Client) Hold(ctx context.Context) int {
	return c.repeat(ctx, func(s *Stream) int {
		<-s.Context().Done()
		return 1
	})
}

// Silence receives everything and acknowledges nothing. When it is disconnected it reconnects.
func (c *Client) Silence(ctx context.Context) int {
	return c.repeat(ctx, func(s *Stream) (taken int) {
		for ; ; taken++ {
			if _, err := s.Recv(); err != nil {
				return taken
			}
		}
	})
}

// Flap sends Hello and disconnects.
func (c *Client) Flap(ctx context.Context) int {
	return c.repeat(ctx, func(s *Stream) int {
		pause(ctx, 5*time.Millisecond)
		return 1
	})
}

// Kill becomes current, and disconnects without a goodbye, under another name each time.
func (c *Client) Kill(ctx context.Context) int {
	other, n := *c, 0
	return other.repeat(ctx, func(s *Stream) int {
		n++
		other.Instance = fmt.Sprintf("%s-%d", c.Instance, n)
		if s.CatchUp() != nil {
			return 0
		}
		_ = s.Uses(1) // it disconnects anyway
		return 1
	})
}

// Claim claims to have very many groups, and reads nothing.
func (c *Client) Claim(ctx context.Context, n int) error {
	hello := c.Hello()
	for i := range n {
		hello.Known = append(hello.Known, &syncv1.KnownGroup{Group: fmt.Sprintf("claimed/%d", i), Version: []byte{1}})
	}
	stream, err := c.Open(ctx, hello)
	if err != nil {
		return err
	}
	defer stream.Kill()
	return stream.CatchUp()
}

// Junk presents invalid tokens, a number of them on each connection, and returns how many of the calls were refused.
func (c *Client) Junk(ctx context.Context, n int) (refused int) {
	connection, err := c.Dial()
	if err != nil {
		return 0
	}
	defer func() { _ = connection.Close() }()
	for range n {
		stream, err := Call(ctx, connection, rand.Text())
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil && ctx.Err() == nil {
			refused++
		}
	}
	return refused
}

// Crowd opens streams, each under its own name, until it has the wanted number or one is refused. It keeps them open until
// the context ends.
func (c *Client) Crowd(ctx context.Context, n int) (held int, refused error) {
	for i := range n {
		other := *c
		other.Instance = fmt.Sprintf("%s-%d", c.Instance, i)
		stream, err := other.Open(ctx, other.Hello())
		if err == nil {
			err = stream.CatchUp()
		}
		if err != nil {
			return held, err
		}
		context.AfterFunc(ctx, stream.Kill)
		held++
	}
	return held, nil
}

// Everything runs all modes at once.
func (c *Client) Everything(ctx context.Context) {
	modes := []func(){
		func() { c.named("flood").Flood(ctx) }, func() { c.named("hold").Hold(ctx) }, func() { c.named("silence").Silence(ctx) },
		func() { c.named("kill").Kill(ctx) },
		func() {
			for ctx.Err() == nil {
				c.Junk(ctx, 100)
				_ = c.named("claim").Claim(ctx, 1_000_000)
				pause(ctx, 100*time.Millisecond)
			}
		},
	}
	for i := range 6 {
		modes = append(modes, func() { c.named(fmt.Sprint("flap", i)).Flap(ctx) })
	}
	done := make(chan struct{})
	for _, mode := range modes {
		go func() { mode(); done <- struct{}{} }()
	}
	for range modes {
		<-done
	}
}

func (c *Client) named(mode string) *Client {
	other := *c
	other.Instance = c.Instance + "-" + mode
	return &other
}

// repeat calls do on one stream after the other.
func (c *Client) repeat(ctx context.Context, on func(*Stream) int) (times int) {
	for ctx.Err() == nil {
		stream, err := c.Open(ctx, c.Hello())
		if err == nil {
			times += on(stream)
			stream.Kill()
		}
		pause(ctx, 50*time.Millisecond)
	}
	return times
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
