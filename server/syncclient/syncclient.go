// Package syncclient keeps a validation server current: it holds one stream to the manager,
// applies what comes and acknowledges it, and connects again when the stream ends.
package syncclient

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

const (
	// The manager counts on a validation server to be back within maxBackoff.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second

	contactInterval = time.Second
	// usesMargin is how long a request may take from its decision until it is noted as a use.
	usesMargin = time.Second
	// usesOnce is how many uses one message reports.
	usesOnce = 5000
	// usesReach is how far back a new stream reports what earlier ones may not have.
	usesReach      = 24 * time.Hour
	goodbyeTimeout = 2 * time.Second
	// urgentPause is between two urgent reports, in which more may gather.
	urgentPause = 10 * time.Millisecond
)

// Config says whom to connect to, and as whom.
type Config struct {
	Address    string // a gRPC target, such as dns:///keyward-sync.keyward-system.svc:9444
	ServerName string // in the manager's certificate
	CAFile     string // PEM; read anew for each connection
	TokenFile  string // a projected ServiceAccount token; read anew for each stream

	Instance   string
	Groups     []string // namespace/name; with Namespaces empty: all that the token may validate
	Namespaces []string

	UsageInterval time.Duration // between reports of what was used
	// UsageTimeout is how long a server that ends tries to report what it has let through.
	UsageTimeout time.Duration
}

// Sink is where updates go.
type Sink interface {
	// Begin starts a stream and returns what is known already.
	Begin() ([]*syncv1.KnownGroup, error)
	// Apply puts an update in force, so that it may be acknowledged when it returns nil.
	Apply(*syncv1.Update) error
	// Contact notes that the manager is there.
	Contact(now time.Time)
}

// Source is where uses come from.
type Source interface {
	// Since returns the versions that were used at the instant or later.
	Since(instant, now time.Time) []*syncv1.VersionUse
	// Keys returns what the manager was not told on this stream of the use of keys; at its
	// beginning, which is whole, all that it has not persisted.
	Keys(whole bool) []*syncv1.KeyUse
	// Recorded takes over what it has.
	Recorded(said *syncv1.Allowances, now time.Time)
}

// Accounts are what groups have used, and may use.
type Accounts interface {
	// Life tells this run of the server from others.
	Incarnation() string
	// Linked notes whether the manager is there to be asked.
	Linked(linked bool)
	// Allow takes over what the manager says.
	Allow(said *syncv1.Allowances, now time.Time)
	// Wake receives when Urgent has something to report.
	Wake() <-chan struct{}
	Urgent(now time.Time) []*syncv1.GroupUse
	// Due returns all that the manager has not persisted; whole, what it may ask for, too.
	Due(now time.Time, whole bool) []*syncv1.GroupUse
	// Close ends the life, and Settled is whether the manager has persisted everything.
	Close()
	Reported() bool
}

// Shares are among how many servers rate limits are shared.
type Shares interface {
	// Told takes over what the manager says.
	PeersChanged(*syncv1.Servers)
}

// Client runs one stream at a time.
type Client struct {
	config  Config
	sink    Sink
	source  Source
	uses    Accounts
	shares  Shares
	log     *slog.Logger
	metrics *metrics
	lastErr codes.Code // of the last attempt; OK after a stream that was accepted
}

// New returns a client that has not connected yet.
func New(config Config, sink Sink, source Source, uses Accounts, shares Shares, log *slog.Logger, registry prometheus.Registerer) *Client {
	return &Client{config: config, sink: sink, source: source, uses: uses, shares: shares, log: log, metrics: newMetrics(registry)}
}

// Run keeps the stream up until ctx ends, and then says goodbye to the manager so that it
// stops counting on this server. Should the manager be away then, it is waited for as long
// as it does not know what was let through.
func (c *Client) Run(ctx context.Context) {
	last, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		c.uses.Close()
		time.AfterFunc(c.config.UsageTimeout, end)
	})()
	backoff := minBackoff
	for !c.isDone(ctx, last) {
		accepted, err := c.connect(ctx, last)
		if c.isDone(ctx, last) {
			return
		}
		if accepted {
			backoff = minBackoff
		}
		c.explain(err)
		select {
		case <-last.Done():
		case <-time.After(backoff/2 + rand.N(backoff/2)): // jitter, lest all come back at once
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// isDone is whether there is no more to be done.
func (c *Client) isDone(ctx, last context.Context) bool {
	return last.Err() != nil || ctx.Err() != nil && c.uses.Reported()
}

// connect makes one connection with one stream and returns when it has ended. A new
// connection each time asks the DNS anew, so that a new leader is found at once.
func (c *Client) connect(ctx, last context.Context) (accepted bool, err error) {
	conn, err := c.dial()
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	// The stream outlives ctx by the goodbye.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(last, func() { time.AfterFunc(goodbyeTimeout, cancel) })()
	settled := context.AfterFunc(ctx, func() {
		if c.uses.Reported() {
			cancel() // nobody there needs to hear anything
		}
	})

	stream, err := syncv1.NewSyncServiceClient(conn).Sync(streamCtx)
	if err != nil {
		return false, err
	}
	settled()
	known, err := c.sink.Begin()
	if err != nil {
		return false, err
	}
	hello := &syncv1.Hello{
		Instance: c.config.Instance,
		Selector: &syncv1.GroupSelector{Groups: c.config.Groups, Namespaces: c.config.Namespaces},
		Known:    known,
	}
	if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}}); err != nil {
		_, err = stream.Recv() // Send only knows that the stream is over, not why
		return false, err
	}
	return c.follow(ctx, last, stream)
}

// follow applies and acknowledges updates, and reports uses, until the stream ends. When ctx
// ends it says goodbye as soon as the manager has persisted everything, or last ends.
func (c *Client) follow(ctx, last context.Context, stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse]) (accepted bool, err error) {
	responses := make(chan *syncv1.SyncResponse)
	ended := make(chan error, 1)
	go receive(stream, responses, ended)

	contact := time.NewTicker(contactInterval)
	defer contact.Stop()
	interval := time.NewTicker(c.config.UsageInterval)
	defer interval.Stop()
	defer c.metrics.connected.Set(0)
	defer c.uses.Linked(false)
	r := &reporter{client: c, stream: stream, through: time.Now().Add(-usesReach)}
	if err := r.accounts(c.uses.Due(time.Now(), true)); err != nil {
		return false, err
	}
	closing, timeout, wake := ctx.Done(), last.Done(), c.uses.Wake()
	pause := time.NewTimer(urgentPause)
	defer pause.Stop()
	goodbye := false
	for {
		err := error(nil)
		select {
		case response := <-responses:
			if !accepted {
				accepted = true
				c.accept()
			}
			err = c.take(stream, response)
		case <-contact.C:
			// The stream is watched by keepalives: if it has not ended, the manager is there.
			if accepted {
				c.sink.Contact(time.Now())
			}
		case <-wake:
			wake = nil
			pause.Reset(urgentPause)
			err = r.accounts(c.uses.Urgent(time.Now()))
		case <-pause.C:
			wake = c.uses.Wake()
		case <-interval.C:
			err = r.all(time.Now().Add(-usesMargin))
		case err := <-ended:
			return accepted, err
		case <-closing:
			closing = nil
			c.uses.Close()
			err = r.all(time.Now())
		case <-timeout:
			timeout, goodbye = nil, true
			err = stream.CloseSend()
		}
		if err == nil && !goodbye && ctx.Err() != nil && closing == nil && c.uses.Reported() {
			goodbye = true
			err = stream.CloseSend()
		}
		if err != nil {
			return accepted, err
		}
	}
}

// take deals with what has come.
func (c *Client) take(stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], response *syncv1.SyncResponse) error {
	if allowances := response.GetAllowances(); allowances != nil {
		now := time.Now()
		c.source.Recorded(allowances, now)
		c.uses.Allow(allowances, now)
		for _, allowance := range allowances.GetGroups() {
			if why := allowance.GetRefused(); why != "" {
				c.log.Warn("the manager refuses a report of usage; it is kept and sent again",
					slog.String("group", allowance.GetGroup()), slog.String("period", allowance.GetPeriod()), slog.String("reason", why))
			}
		}
	}
	if servers := response.GetServers(); servers != nil {
		c.shares.PeersChanged(servers)
	}
	if update := response.GetUpdate(); update != nil {
		return c.apply(stream, update)
	}
	return nil
}

// receive hands on what comes until the stream ends, which it does at the latest when
// connect returns and cancels its context.
func receive(stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], responses chan<- *syncv1.SyncResponse, ended chan<- error) {
	for {
		response, err := stream.Recv()
		if err != nil {
			ended <- err
			return
		}
		select {
		case responses <- response:
		case <-stream.Context().Done():
			ended <- stream.Context().Err()
			return
		}
	}
}

func (c *Client) accept() {
	c.lastErr = codes.OK
	c.metrics.connected.Set(1)
	c.uses.Linked(true)
	c.log.Info("connected to the manager", slog.String("address", c.config.Address))
}

// apply puts an update in force and only then says so.
func (c *Client) apply(stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], update *syncv1.Update) error {
	begin := time.Now()
	if err := c.sink.Apply(update); err != nil {
		return err
	}
	c.metrics.apply.Observe(time.Since(begin).Seconds())
	ack := &syncv1.Ack{Revision: update.GetRevision()}
	if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Ack{Ack: ack}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	} // io.EOF: the reason comes with the next Recv
	c.log.Debug("applied an update", slog.Uint64("revision", update.GetRevision()), slog.Int("groups", len(update.GetGroups())),
		slog.Int("keys", len(update.GetKeys())), slog.Bool("caught_up", update.GetCaughtUp()))
	c.sink.Contact(time.Now())
	return nil
}

// explain logs why there is no stream: loudly when the reason is new, with what to do about
// it, and quietly when it is the same again.
func (c *Client) explain(err error) {
	code := status.Code(err)
	c.metrics.failures.WithLabelValues(code.String()).Inc()
	level := slog.LevelDebug
	if code != c.lastErr {
		level = slog.LevelWarn
	}
	c.lastErr = code
	attributes := []slog.Attr{slog.String("address", c.config.Address), slog.Any("error", err)}
	if hint := hintFor(code); hint != "" {
		attributes = append(attributes, slog.String("hint", hint))
	}
	c.log.LogAttrs(context.Background(), level, "no stream to the manager; trying again and deciding from the last snapshot", attributes...)
}

func hintFor(code codes.Code) string {
	switch code {
	case codes.Unauthenticated:
		return "mount a projected ServiceAccount token with the audience keyward.dev/sync at the path of --sync-token-file"
	case codes.PermissionDenied:
		return "allow the verb validate on groups.keyward.dev, for the groups of --group and --namespace, to this validator's ServiceAccount"
	case codes.InvalidArgument:
		return "check --instance, --group and --namespace"
	case codes.Unimplemented:
		return "check --sync-address: what answers there is not the manager of this release"
	default:
		return ""
	}
}
