// Package syncclient keeps a validation server current: it keeps one stream to the manager, applies and acknowledges updates,
// reports usage, and connects again when the stream ends.
package syncclient

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/version"
)

const (
	// The manager expects a validation server to reconnect within maxBackoff.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second

	contactInterval = time.Second
	// usesMargin is how long it may take from the decision of a request until its use is recorded.
	usesMargin = time.Second
	// usesPerMessage is how many uses one message reports at most.
	usesPerMessage = 5000
	// trafficPerMessage is of how many groups one message reports what was refused: they take up to 3.3 MB, of the 4 MiB that the manager takes.
	trafficPerMessage = 800
	// usesReach is how far back a new stream reports uses that earlier streams may not have reported.
	usesReach      = 24 * time.Hour
	goodbyeTimeout = 2 * time.Second
	// urgentPause is the time between two urgent reports, so that one report covers several requests.
	urgentPause = 10 * time.Millisecond
)

// Config is what to connect to, and with which identity.
type Config struct {
	Address    string // a gRPC target, such as dns:///keyward-sync.keyward-system.svc:9444
	ServerName string // in the manager's certificate
	CAFile     string // PEM; read again for each connection
	TokenFile  string // a projected ServiceAccount token; read again for each stream

	Instance   string
	Groups     []string // namespace/name; with Namespaces empty: all that the token may validate
	Namespaces []string

	UsageInterval time.Duration // between reports of usage
	// UsageTimeout is how long a server that stops tries to report the requests that it has allowed.
	UsageTimeout time.Duration
}

// Sink is where updates go.
type Sink interface {
	// Begin starts a stream and returns which groups are known already.
	Begin() ([]*syncv1.KnownGroup, error)
	// Apply puts an update in force. If it returns nil, the update may be acknowledged.
	Apply(*syncv1.Update) error
	// Rejections returns what cannot be used of the records that were applied: nil if that is the same as when it was last
	// asked, unless whole is set.
	Rejections(whole bool) *syncv1.Rejections
	// Contact records that the manager is connected.
	Contact(now time.Time)
}

// Usage is the use of versions and keys.
type Usage interface {
	// Since returns the versions that were used at the instant or later.
	Since(instant, now time.Time) iter.Seq[*syncv1.VersionUse]
	// Keys returns the use of keys that was not reported on this stream yet. At the beginning of a stream, which is whole, it
	// returns all that the manager has not persisted.
	Keys(whole bool) iter.Seq[*syncv1.KeyUse]
	// Recorded applies what the manager has persisted, and its clock.
	Recorded(persisted *syncv1.KeysRecorded, now time.Time)
	// Traffic returns what was refused of groups, and which origins others came from, since the last time.
	Traffic() []*syncv1.GroupTraffic
	// RefusedKeys returns which keys were refused, and why, since the last time: not more than one message may have.
	RefusedKeys() []*syncv1.KeyRefusal
}

// Quota is the use of groups, and the allowances for it.
type Quota interface {
	// Incarnation distinguishes this run of the server from others.
	Incarnation() string
	// SetConnected sets whether the manager is connected, so that it can be asked.
	SetConnected(connected bool)
	// SetKeyQuotas sets whether the manager takes the use of keys with a quota of their own. If it does not, Urgent and Due have none.
	SetKeyQuotas(taken bool)
	// Allow applies allowances.
	Allow(allowances *syncv1.Allowances, now time.Time)
	// Wake receives a value when Urgent has something to report.
	Wake() <-chan struct{}
	Urgent(now time.Time) []*syncv1.GroupUse
	// Due returns all that the manager has not persisted; if whole, also every month that the manager may recall an allowance of.
	Due(now time.Time, whole bool) []*syncv1.GroupUse
	// Close ends the incarnation. Reported reports whether the manager has persisted everything.
	Close()
	Reported() bool
}

// RateLimits divide rate limits among servers.
type RateLimits interface {
	// PeersChanged applies how many servers there are.
	PeersChanged(*syncv1.Servers)
}

// Client runs one stream at a time.
type Client struct {
	config  Config
	sink    Sink
	usage   Usage
	quota   Quota
	rates   RateLimits
	log     *slog.Logger
	metrics *metrics
	lastErr codes.Code // of the last attempt; OK after a stream that was accepted
}

// phase is how far a stream has come. It only moves forward.
type phase int

const (
	// phaseRunning: updates are applied, and usage is reported periodically.
	phaseRunning phase = iota
	// phaseDraining: the server is stopping. Everything was reported, and the client waits until the manager has persisted it.
	phaseDraining
	// phaseGoodbye: the client has closed its side of the stream, and waits for the manager to close the other.
	phaseGoodbye
)

// New returns a client that has not connected yet.
func New(config Config, sink Sink, usage Usage, quota Quota, rates RateLimits, log *slog.Logger, registry prometheus.Registerer) *Client {
	return &Client{config: config, sink: sink, usage: usage, quota: quota, rates: rates, log: log, metrics: newMetrics(registry)}
}

// Run keeps the stream up until ctx ends, and then says goodbye to the manager, so that the manager stops counting on this
// server. If the manager is disconnected then, Run waits for it as long as there is unreported usage.
//
// Three contexts end one after another. With ctx the server stops: the stream drains. With last, UsageTimeout later, draining is
// over, reported or not: the stream says goodbye, and there is no further attempt to connect. The context of a stream ends
// goodbyeTimeout later, if the manager has not closed the stream by then.
func (c *Client) Run(ctx context.Context) {
	last, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		c.quota.Close()
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
		c.logFailure(err)
		select {
		case <-last.Done():
		case <-time.After(backoff/2 + rand.N(backoff/2)): // with jitter, so that servers do not all reconnect at once
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// isDone reports whether there is nothing left to do.
func (c *Client) isDone(ctx, last context.Context) bool {
	return last.Err() != nil || ctx.Err() != nil && c.quota.Reported()
}

// connect makes one connection with one stream and returns when it has ended. Each new connection resolves the name again,
// so that a new leader is found at once.
func (c *Client) connect(ctx, last context.Context) (accepted bool, err error) {
	conn, err := c.dial()
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	// The stream outlives ctx: see Run.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(last, func() { time.AfterFunc(goodbyeTimeout, cancel) })()
	opened := context.AfterFunc(ctx, func() {
		if c.quota.Reported() {
			cancel() // the stream is not open yet, and there is nothing to report on it
		}
	})

	stream, err := syncv1.NewSyncServiceClient(conn).Sync(streamCtx)
	if err != nil {
		return false, err
	}
	opened()
	known, err := c.sink.Begin()
	if err != nil {
		return false, err
	}
	hello := &syncv1.Hello{
		Instance: c.config.Instance,
		Selector: &syncv1.GroupSelector{Groups: c.config.Groups, Namespaces: c.config.Namespaces},
		Known:    known, Rejections: c.sink.Rejections(true),
		Features: features(), Incarnation: c.quota.Incarnation(), Version: version.Get().Version,
	}
	if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}}); err != nil {
		_, err = stream.Recv() // Send only returns that the stream is over, not why
		return false, err
	}
	return c.follow(ctx, last, stream)
}

// follow applies and acknowledges updates, and reports usage, until the stream ends. When ctx ends it drains, and says goodbye as
// soon as the manager has persisted everything, or last ends.
func (c *Client) follow(ctx, last context.Context, stream syncStream) (accepted bool, err error) {
	responses := make(chan *syncv1.SyncResponse)
	ended := make(chan error, 1)
	go receive(stream, responses, ended)

	contact := time.NewTicker(contactInterval)
	defer contact.Stop()
	interval := time.NewTicker(c.config.UsageInterval)
	defer interval.Stop()
	defer c.metrics.connected.Set(0)
	defer c.quota.SetConnected(false)
	r := &reporter{client: c, stream: stream, through: time.Now().Add(-usesReach)}
	wake := c.quota.Wake()
	pause := time.NewTimer(urgentPause)
	defer pause.Stop()
	phase, stopping, drained := phaseRunning, ctx.Done(), last.Done() // a channel is nil once the phase is past it
	for {
		err := error(nil)
		if phase == phaseGoodbye { // nothing may be sent any more: it would cancel the stream, with what the manager has not read yet
			return accepted, farewell(responses, ended)
		}
		select {
		case response := <-responses:
			if !accepted {
				accepted = true
				c.accept()
			}
			if welcome := response.GetWelcome(); welcome != nil {
				err = r.begin(welcome, phase == phaseDraining)
				break
			}
			err = c.handle(stream, response)
		case <-contact.C:
			// Keepalives watch the stream: if it has not ended, the manager is connected.
			if accepted {
				c.sink.Contact(time.Now())
			}
		case <-wake:
			wake = nil
			pause.Reset(urgentPause)
			err = r.groups(c.quota.Urgent(time.Now()))
		case <-pause.C:
			wake = c.quota.Wake()
		case <-interval.C:
			err = r.all(time.Now().Add(-usesMargin))
		case err := <-ended:
			return accepted, err
		case <-stopping:
			phase, stopping = phaseDraining, nil
			c.quota.Close()
			err = r.last()
		case <-drained:
			phase = phaseGoodbye
			err = stream.CloseSend()
		}
		if err == nil && phase == phaseDraining && c.quota.Reported() {
			phase = phaseGoodbye
			err = stream.CloseSend()
		}
		if err != nil {
			return accepted, err
		}
	}
}

// farewell waits until the manager has read everything, and ends the stream. Its responses no longer matter.
func farewell(responses <-chan *syncv1.SyncResponse, ended <-chan error) error {
	for {
		select {
		case <-responses:
		case err := <-ended:
			return err
		}
	}
}

// handle applies a response of the manager.
func (c *Client) handle(stream syncStream, response *syncv1.SyncResponse) error {
	switch message := response.GetMessage().(type) {
	case *syncv1.SyncResponse_Update:
		return c.apply(stream, message.Update)
	case *syncv1.SyncResponse_Servers:
		c.rates.PeersChanged(message.Servers)
	case *syncv1.SyncResponse_Keys:
		c.usage.Recorded(message.Keys, time.Now())
	case *syncv1.SyncResponse_Allowances:
		c.allow(message.Allowances)
	default: // a message of a later release
	}
	return nil
}

// allow applies allowances, and the manager's clock.
func (c *Client) allow(allowances *syncv1.Allowances) {
	now := time.Now()
	c.usage.Recorded(&syncv1.KeysRecorded{NowMs: allowances.GetNowMs()}, now)
	c.quota.Allow(allowances, now)
	for _, allowance := range allowances.GetGroups() {
		if why := allowance.GetRefused(); why != "" {
			c.log.Warn("the manager refuses a report of usage; it is kept and sent again",
				slog.String("group", allowance.GetGroup()), slog.String("period", allowance.GetPeriod()), slog.String("reason", why))
		}
	}
}

// syncStream is the client's end of a stream.
type syncStream = grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse]

// receive passes on responses until the stream ends, at the latest when connect returns and cancels its context.
func receive(stream syncStream, responses chan<- *syncv1.SyncResponse, ended chan<- error) {
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
	c.quota.SetConnected(true)
	c.log.Info("connected to the manager", slog.String("address", c.config.Address))
}

// apply puts an update in force, and only then acknowledges it.
func (c *Client) apply(stream syncStream, update *syncv1.Update) error {
	begin := time.Now()
	if err := c.sink.Apply(update); err != nil {
		return err
	}
	c.metrics.apply.Observe(time.Since(begin).Seconds())
	ack := &syncv1.Ack{Revision: update.GetRevision(), Rejections: c.sink.Rejections(false)}
	if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Ack{Ack: ack}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	} // io.EOF: the reason comes with the next Recv
	c.log.Debug("applied an update", slog.Uint64("revision", update.GetRevision()), slog.Int("groups", len(update.GetGroups())),
		slog.Int("keys", len(update.GetKeys())), slog.Bool("caught_up", update.GetCaughtUp()))
	c.sink.Contact(time.Now())
	return nil
}

// logFailure logs why there is no stream, and what to do about it: as a warning when the reason is new, and for debugging when it
// is the same as before.
func (c *Client) logFailure(err error) {
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
		return "check --sync-address: the server there is not the manager of this release"
	default:
		return ""
	}
}
