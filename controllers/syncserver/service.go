package syncserver

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
)

const (
	// Patience is how long a server may take to receive an update, and how long to acknowledge it.
	Patience = 30 * time.Second
	// helloWithin is how long it may take to send its Hello.
	helloWithin = 10 * time.Second
	// maxAge is the maximum age of a stream; its server must then connect and authenticate again.
	maxAge = 30 * time.Minute
)

var (
	errGoodbye        = errors.New("the server said goodbye")
	errMaxAge         = status.Error(codes.Unavailable, "the stream has reached its maximum age; connect and authenticate again")
	errOverdue        = status.Errorf(codes.Aborted, "an update was not taken and acknowledged within %s", Patience)
	errSilent         = status.Errorf(codes.Aborted, "there was no Hello within %s", helloWithin)
	errUnsent         = status.Error(codes.InvalidArgument, "ack: the revision was not sent on this stream")
	errServiceAccount = status.Error(codes.ResourceExhausted,
		"the ServiceAccount has too many streams, or opens them too often; see --sync-streams-per-account")
	errPod   = status.Errorf(codes.ResourceExhausted, "a server has at most %d streams", streamsOfPod)
	errStale = status.Error(codes.ResourceExhausted,
		"known: the servers of the ServiceAccount know too many groups that they may not have; "+
			"try again when others have caught up")
)

// service implements the synchronization protocol on a Hub.
type service struct {
	syncv1.UnimplementedSyncServiceServer

	hub      *publish.Hub
	usage    *usage.Tracker
	quotas   *quota.Aggregator
	traffic  *traffic.Pending
	access   access
	registry *registry
	streams  *streams
	clock    clock.WithTicker
	log      logr.Logger
	refusals *rate.Limiter // of log lines
	seals    *seal.Keeper
	imported *publish.Imported
}

// Sync serves one validation server.
func (s *service) Sync(stream syncv1.SyncService_SyncServer) error {
	id, err := s.access.authenticate(stream.Context())
	if err != nil {
		return err
	}
	defer known(stream.Context())()
	c, err := s.admit(stream, id)
	if err != nil {
		if s.refusals.AllowN(s.clock.Now(), 1) { // a refused server may try very often
			s.log.Info("Refused a validation server", "user", id.user.Username, "reason", status.Convert(err).Message())
		}
		return err
	}
	defer c.leave()
	log := s.log.WithValues("instance", c.instance, "server", id.owner())
	log.Info("A validation server is connected")
	err = s.serve(c)
	c.close(errors.Is(err, errGoodbye))
	if errors.Is(err, errGoodbye) {
		log.Info("A validation server has disconnected")
		return nil
	}
	log.Info("The connection to a validation server failed", "reason", status.Convert(err).Message())
	return err
}

// admit receives the Hello, and registers the server for what it may have. Before that the server is registered nowhere.
func (s *service) admit(stream syncv1.SyncService_SyncServer, id identity) (c *connection, err error) {
	c = &connection{stream: stream, log: s.log}
	defer func() {
		if err != nil {
			c.leave()
		}
	}()
	serviceAccount := id.rightsKey()
	if !c.open(s.streams, "account "+serviceAccount, s.streams.most) {
		return c, errServiceAccount
	}
	if id.pod != "" && !c.open(s.streams, "pod "+id.server(), streamsOfPod) {
		return c, errPod
	}
	rights, leave := s.registry.of(id)
	c.cleanups = append(c.cleanups, leave)
	c.rights = rights
	if !rights.opens.AllowN(s.clock.Now(), 1) {
		return c, errServiceAccount
	}
	// A Hello may be large, so only a few of one account are received at a time.
	slots := s.streams.slots("account " + serviceAccount)
	deadline := s.clock.NewTimer(helloWithin)
	defer deadline.Stop()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-deadline.C():
		return c, errSilent
	case <-stream.Context().Done():
		return c, stream.Context().Err()
	}
	hello, err := s.receiveHello(stream)
	if err != nil {
		return c, err
	}
	select {
	case <-s.hub.Opened():
	case <-stream.Context().Done():
		return c, stream.Context().Err()
	}
	who, err := subscriber(stream.Context(), id, rights, hello, s.hub.Groups)
	if err != nil {
		return c, err
	}
	if !c.open(s.streams, "server "+id.server()+"\x00"+who.Instance, streamsOfPod) {
		return c, errPod
	}
	c.features = shared(hello)
	if !c.features.has(syncv1.Feature_FEATURE_REJECTIONS) {
		who.Rejections = nil
	}
	return c, s.register(c, serviceAccount, who)
}

// receiveHello waits for the first request. If none comes, the stream ends, and the goroutine that receives ends with it.
func (s *service) receiveHello(stream syncv1.SyncService_SyncServer) (*syncv1.Hello, error) {
	type received struct {
		request *syncv1.SyncRequest
		err     error
	}
	first := make(chan received, 1)
	go func() {
		request, err := stream.Recv()
		first <- received{request, err}
	}()
	timer := s.clock.NewTimer(helloWithin)
	defer timer.Stop()
	select {
	case r := <-first:
		return r.request.GetHello(), r.err
	case <-timer.C():
		return nil, errSilent
	case <-stream.Context().Done():
		return nil, stream.Context().Err()
	}
}

// register registers the server with the Hub and with everything that counts its use.
func (s *service) register(c *connection, serviceAccount string, who publish.Subscriber) error {
	c.instance = who.Instance
	c.subscription = s.hub.Subscribe(who)
	reported, ok := s.streams.reserveStale(serviceAccount, c.subscription.Stale())
	if !ok {
		c.subscription.Close(false) // it goes on deciding by what it knows
		return errStale
	}
	c.staleReported = reported
	c.cleanups = append(c.cleanups, reported)
	session := c.subscription.Session()
	c.reporter = s.usage.Connect(session, s.hub.GroupOf)
	c.keys = s.usage.Keys.Connect(session, c.subscription.ServesKey)
	c.quotas, c.traffic = s.quotas.Connect(session), s.traffic
	return nil
}

// serve runs until either direction fails, the server is overdue, or the stream is too old.
func (s *service) serve(c *connection) error {
	ctx, cancel := context.WithCancelCause(c.stream.Context())
	defer cancel(nil)
	updates := make(chan *syncv1.Update)
	reviews := make(chan struct{}, 1)
	go func() { cancel(c.receive()) }()
	go func() { cancel(c.await(ctx, updates, &secrecy{service: s, subscription: c.subscription})) }()
	go func() { cancel(c.send(ctx, updates, s.clock)) }()
	go c.review(ctx, reviews)

	age := s.clock.NewTimer(maxAge)
	defer age.Stop()
	tick := s.clock.NewTicker(Patience / 10)
	defer tick.Stop()
	review := s.clock.NewTicker(reviewInterval)
	defer review.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-age.C():
			return errMaxAge
		case <-review.C():
			select {
			case reviews <- struct{}{}:
			default: // the last review still runs
			}
		case <-tick.C():
			if c.subscription.CaughtUp() {
				c.staleReported()
			}
			if c.isStuck(s.clock.Now()) || c.subscription.Overdue(Patience) {
				return errOverdue
			}
		}
	}
}
