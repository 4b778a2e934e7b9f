package syncserver

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/snapshot"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/accounts"
)

const (
	// patience is how long a server may take to acknowledge an update, or to take one.
	patience = 30 * time.Second
	// maxAge is how long a stream lives; then its server proves again who it is.
	maxAge = 30 * time.Minute
)

var (
	errGoodbye = errors.New("the server said goodbye")
	errMaxAge  = status.Error(codes.Unavailable, "the stream's time is over; connect and authenticate again")
	errOverdue = status.Errorf(codes.Aborted, "an update was not taken and acknowledged within %s", patience)
)

// service implements the synchronization protocol on a Hub.
type service struct {
	syncv1.UnimplementedSyncServiceServer

	hub      *snapshot.Hub
	usage    *usage.Tracker
	accounts *accounts.Aggregator
	access   access
	clock    clock.WithTicker
	log      logr.Logger
	seals    *seal.Keeper
	imported *snapshot.Imported
}

// connection is one validation server that is connected.
type connection struct {
	stream       syncv1.SyncService_SyncServer
	subscription *snapshot.Subscription
	reporter     *usage.Server
	keys         *usage.KeyReporter
	session      *accounts.Session
}

// Sync serves one validation server.
func (s *service) Sync(stream syncv1.SyncService_SyncServer) error {
	user, err := s.access.authenticate(stream.Context())
	if err != nil {
		return err
	}
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	subscriber, err := s.access.subscriber(stream.Context(), user, request.GetHello())
	if err != nil {
		s.log.Info("Refused a validation server", "instance", request.GetHello().GetInstance(), "user", user.Username, "reason", status.Convert(err).Message())
		return err
	}
	log := s.log.WithValues("instance", subscriber.Instance, "user", user.Username)

	select {
	case <-s.hub.Opened():
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	subscription := s.hub.Subscribe(subscriber)
	c := &connection{
		stream: stream, subscription: subscription,
		reporter: s.usage.Connect(subscriber.Instance, subscriber.Selects),
		keys:     s.usage.Keys.Connect(subscriber.Instance, subscription.Serves),
		session:  s.accounts.Connect(subscriber.Instance, subscription.Serves),
	}
	connected.Inc()
	defer connected.Dec()
	log.Info("A validation server is connected")

	err = s.serve(c)
	subscription.Close(errors.Is(err, errGoodbye))
	c.reporter.Close(errors.Is(err, errGoodbye))
	c.keys.Close(errors.Is(err, errGoodbye))
	c.session.Close()
	if errors.Is(err, errGoodbye) {
		log.Info("A validation server has left")
		return nil
	}
	log.Info("The connection to a validation server is lost", "reason", status.Convert(err).Message())
	return err
}

// serve runs until either direction fails, the server is overdue, or the stream is too old.
func (s *service) serve(c *connection) error {
	ctx, cancel := context.WithCancelCause(c.stream.Context())
	defer cancel(nil)
	progress := make(chan struct{}, 1)
	updates := make(chan *syncv1.Update)
	go func() { cancel(c.receive()) }()
	go func() { cancel(c.await(ctx, updates, &secrecy{service: s, subscription: c.subscription})) }()
	go func() { cancel(c.send(ctx, updates, progress)) }()

	age := s.clock.NewTimer(maxAge)
	defer age.Stop()
	tick := s.clock.NewTicker(patience / 10)
	defer tick.Stop()
	for sending := s.clock.Now(); ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-age.C():
			return errMaxAge
		case <-progress:
			sending = s.clock.Now()
		case <-tick.C():
			// A server that takes nothing at all leaves something unacknowledged too, but
			// for the pieces of a catch-up, which are not acknowledged one by one.
			stuck := !c.subscription.CaughtUp() && s.clock.Since(sending) > patience
			if stuck || c.subscription.Overdue(patience) {
				return errOverdue
			}
		}
	}
}

func (c *connection) receive() error {
	for {
		request, err := c.stream.Recv()
		if errors.Is(err, io.EOF) {
			return errGoodbye
		}
		if err != nil {
			return err
		}
		switch message := request.GetMessage().(type) {
		case *syncv1.SyncRequest_Ack:
			c.subscription.Ack(message.Ack.GetRevision())
		case *syncv1.SyncRequest_Uses:
			c.reporter.Report(message.Uses)
			c.keys.Report(message.Uses)
			if err := c.session.Report(message.Uses); err != nil {
				return err
			}
		default:
			return status.Error(codes.InvalidArgument, "after the Hello only Acks and Uses are expected")
		}
	}
}

// await hands on updates as they are wanted.
func (c *connection) await(ctx context.Context, updates chan<- *syncv1.Update, secrecy *secrecy) error {
	for {
		update, err := c.subscription.Next(ctx)
		if err != nil {
			return err
		}
		if err := secrecy.add(ctx, update); err != nil {
			return err
		}
		select {
		case updates <- update:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send sends updates, allowances and numbers of servers, whichever there is.
func (c *connection) send(ctx context.Context, updates <-chan *syncv1.Update, progress chan<- struct{}) error {
	for {
		response := &syncv1.SyncResponse{}
		select {
		case update := <-updates:
			response.Update = update
		case <-c.session.Ready():
			response.Allowances = c.session.Take()
		case <-c.keys.Ready():
			response.Allowances = c.keys.Take()
		case <-c.subscription.ServersChanged():
			if response.Servers = c.subscription.TakeServers(); response.Servers == nil {
				continue
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := c.stream.Send(response); err != nil {
			return err
		}
		select {
		case progress <- struct{}{}:
		default:
		}
	}
}
