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
}

// Client runs one stream at a time.
type Client struct {
	config  Config
	sink    Sink
	source  Source
	log     *slog.Logger
	metrics *metrics
	lastErr codes.Code // of the last attempt; OK after a stream that was accepted
}

// New returns a client that has not connected yet.
func New(config Config, sink Sink, source Source, log *slog.Logger, registry prometheus.Registerer) *Client {
	return &Client{config: config, sink: sink, source: source, log: log, metrics: newMetrics(registry)}
}

// Run keeps the stream up until ctx ends, and then says goodbye to the manager so that it
// stops counting on this server.
func (c *Client) Run(ctx context.Context) {
	backoff := minBackoff
	for ctx.Err() == nil {
		accepted, err := c.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if accepted {
			backoff = minBackoff
		}
		c.explain(err)
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff/2)): // jitter, lest all come back at once
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// connect makes one connection with one stream and returns when it has ended. A new
// connection each time asks the DNS anew, so that a new leader is found at once.
func (c *Client) connect(ctx context.Context) (accepted bool, err error) {
	conn, err := c.dial()
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	// Once it is there, the stream outlives ctx by the goodbye.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	notThereYet := context.AfterFunc(ctx, cancel)

	stream, err := syncv1.NewSyncServiceClient(conn).Sync(streamCtx)
	if err != nil {
		return false, err
	}
	notThereYet()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(goodbyeTimeout, cancel) })()
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
	return c.follow(ctx, stream)
}

// follow applies and acknowledges updates until the stream or ctx ends.
func (c *Client) follow(ctx context.Context, stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse]) (accepted bool, err error) {
	updates := make(chan *syncv1.Update)
	ended := make(chan error, 1)
	go receive(stream, updates, ended)

	contact := time.NewTicker(contactInterval)
	defer contact.Stop()
	report := time.NewTicker(c.config.UsageInterval)
	defer report.Stop()
	through := time.Now().Add(-usesReach)
	defer c.metrics.connected.Set(0)
	goodbye := ctx.Done()
	for {
		select {
		case update := <-updates:
			if !accepted {
				accepted = true
				c.accept()
			}
			if err := c.apply(stream, update); err != nil {
				return accepted, err
			}
		case <-contact.C:
			// The stream is watched by keepalives: if it has not ended, the manager is there.
			if accepted {
				c.sink.Contact(time.Now())
			}
		case <-report.C:
			if through, err = c.report(stream, through, time.Now().Add(-usesMargin)); err != nil {
				return accepted, err
			}
		case err := <-ended:
			return accepted, err
		case <-goodbye:
			goodbye = nil
			if _, err := c.report(stream, through, time.Now()); err != nil {
				return accepted, err
			}
			if err := stream.CloseSend(); err != nil {
				return accepted, err
			}
		}
	}
}

// receive hands on what comes until the stream ends, which it does at the latest when
// connect returns and cancels its context.
func receive(stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], updates chan<- *syncv1.Update, ended chan<- error) {
	for {
		response, err := stream.Recv()
		if err != nil {
			ended <- err
			return
		}
		select {
		case updates <- response.GetUpdate():
		case <-stream.Context().Done():
			ended <- stream.Context().Err()
			return
		}
	}
}

func (c *Client) accept() {
	c.lastErr = codes.OK
	c.metrics.connected.Set(1)
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

// report tells what was used since the last report, until through.
func (c *Client) report(stream grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], since, through time.Time) (time.Time, error) {
	versions := c.source.Since(since, time.Now())
	for {
		uses := &syncv1.Uses{Versions: versions[:min(usesOnce, len(versions))]}
		if versions = versions[len(uses.GetVersions()):]; len(versions) == 0 {
			uses.ThroughMs = through.UnixMilli()
		}
		if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Uses{Uses: uses}}); err != nil {
			if errors.Is(err, io.EOF) {
				return since, nil // the reason comes with the next Recv
			}
			return since, err
		}
		if len(versions) == 0 {
			return through, nil
		}
	}
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
	if remedy := remedyFor(code); remedy != "" {
		attributes = append(attributes, slog.String("remedy", remedy))
	}
	c.log.LogAttrs(context.Background(), level, "no stream to the manager; trying again and deciding from the last snapshot", attributes...)
}

func remedyFor(code codes.Code) string {
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
