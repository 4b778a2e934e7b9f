// Package authorizer is the engine behind all doors: it decides, counts and logs. Doors only
// translate.
package authorizer

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/authorizer/search"
	"github.com/keyward-dev/keyward/server/authorizer/throttle"
	"github.com/keyward-dev/keyward/server/decision"
)

// Gate decides on one snapshot. It is safe for concurrent use.
type Authorizer struct {
	snapshot decision.Snapshot
	// recognizer is the snapshot, where it is one.
	recognizer decision.Recognizer
	now        func() time.Time
	log        *slog.Logger
	throttle   *throttle.Throttle
	searches   *search.Budget
	recorder   Recorder
	meter      Meter
	rates      *ratelimit.Limiter
	quota      Quota
	reading    routing.Reading
	tallies    *tallies
	attempts   *prometheus.CounterVec
}

// Request is a request as a door knows it.
type Request struct {
	decision.Request

	// Client is where the request comes from. It is the zero Addr where that is not known.
	Client netip.Addr
	// ID names the request in logs.
	ID string
}

// Result is what a door is to answer.
type Result struct {
	decision.Decision

	// RetryAfter is when another attempt makes sense; 0 where that is not known.
	RetryAfter time.Duration

	// Rates are how the rate limits stand, where there are any and the request came to them.
	Rates ratelimit.Statuses
}

// Option adds to what a gate does.
type Option func(*Authorizer)

// WithThrottle lets the gate answer failed attempts of clients that had too many as such.
func WithThrottle(t *throttle.Throttle) Option { return func(g *Authorizer) { g.throttle = t } }

// WithSearches bounds the work of finding out who may read denials, and who allows preflights.
func WithSearches(b *search.Budget) Option { return func(g *Authorizer) { g.searches = b } }

// WithReading tells the gate how content servers read paths.
func WithReading(r routing.Reading) Option { return func(g *Authorizer) { g.reading = r } }

// Recorder hears of every decision. It must not keep the request, nor change anything.
type Recorder interface {
	Record(integration string, at time.Time, request *Request, result *Result)
}

// WithRecorder lets a recorder hear of every decision.
func WithRecorder(r Recorder) Option { return func(g *Authorizer) { g.recorder = r } }

// Meter hears of requests that were let through: with which key of which group, when, whether
// its version is retiring, and from where, as far as that is known. It must not keep the
// request, nor change anything.
type Meter interface {
	Used(keyID string, group *decision.Group, request *decision.Request, at time.Time, retiring bool, client netip.Addr)
}

// WithMeter lets a meter hear of every request that was let through.
func WithMeter(m Meter) Option { return func(g *Authorizer) { g.meter = m } }

// WithRates lets a limiter refuse requests that come too fast.
func WithRates(l *ratelimit.Limiter) Option { return func(g *Authorizer) { g.rates = l } }

// Quota counts what groups use.
type Quota interface {
	// Spend counts a request that is let through otherwise, or says why it is not, and how
	// long that lasts, where that is known. It may wait.
	Spend(ctx context.Context, group *decision.Group, now time.Time) (decision.Code, time.Duration)
	// Sent counts bytes of the response bodies of a group, namespace/name.
	Sent(group string, bytes uint64, now time.Time)
}

// WithQuota lets a quota have the last word about every request that is let through.
func WithQuota(q Quota) Option { return func(g *Authorizer) { g.quota = q } }

// New returns a gate that reads the time from now and registers its metrics with metrics.
func New(snapshot decision.Snapshot, now func() time.Time, log *slog.Logger, metrics prometheus.Registerer, options ...Option) *Authorizer {
	g := &Authorizer{
		snapshot: snapshot,
		now:      now,
		log:      log,
		tallies:  newTallies(),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_validator_failed_attempts_total",
			Help: "Failed attempts by door and outcome: counted against the client's address, throttled, or unattributed, where the address is not known.",
		}, []string{"door", "outcome"}),
	}
	g.recognizer, _ = snapshot.(decision.Recognizer)
	metrics.MustRegister(g.tallies, g.attempts)
	for _, option := range options {
		option(g)
	}
	return g
}

// Door is the gate as one door uses it.
type Integration struct {
	authorizer *Authorizer
	name       string
	tally      *tally

	counted, throttled, unattributed prometheus.Counter
}

// Door returns the gate for the door of that name, which labels its metrics.
func (g *Authorizer) Integration(name string) *Integration {
	d := &Integration{authorizer: g, name: name, tally: g.tallies.of(name)}
	d.counted = g.attempts.WithLabelValues(name, "counted")
	d.throttled = g.attempts.WithLabelValues(name, "throttled")
	d.unattributed = g.attempts.WithLabelValues(name, "unattributed")
	return d
}

// Decide decides the request as of now.
func (d *Integration) Decide(ctx context.Context, request *Request) Result {
	now := d.authorizer.now()
	request.Reading = d.authorizer.reading
	if request.Credential.Form == decision.Foreign && d.authorizer.recognizer != nil {
		d.authorizer.recognizer.Recognize(&request.Credential)
	}
	result := Result{Decision: decision.Begin(d.authorizer.snapshot, &request.Request, now)}
	if result.Code == decision.Preflight {
		d.finish(ctx, request, &result, now) // it may become a failed attempt
	}
	if result.Allowed() && d.authorizer.rates != nil {
		d.limit(&result, now)
	}
	if result.Allowed() && d.authorizer.quota != nil {
		result.Code, result.RetryAfter = d.authorizer.quota.Spend(ctx, result.Group, now)
	}
	if result.Allowed() && d.authorizer.meter != nil {
		d.authorizer.meter.Used(result.Key.ID, result.Group, &request.Request, now, result.Retiring, request.Client)
	}
	if result.Code.FailedAttempt() {
		d.failed(request, &result, now)
	}
	if !result.Allowed() {
		d.finish(ctx, request, &result, now)
	}
	d.tally.note(result.Code, time.Since(now)) // two readings of the clock are dear enough
	if d.authorizer.recorder != nil {
		told := result // a copy, so that only what is recorded is on the heap
		d.authorizer.recorder.Record(d.name, now, request, &told)
	}
	if d.authorizer.log.Enabled(ctx, slog.LevelDebug) {
		d.logDecision(ctx, request, result)
	}
	return result
}

// finish searches others' groups, where that is left. Who fails too often has them searched no
// more, and so it is where searches take too much as it is: any that allows the origin will do.
func (d *Integration) finish(ctx context.Context, request *Request, result *Result, now time.Time) {
	if !result.Unfinished() {
		return
	}
	if result.Code == decision.TooManyFailures || !d.authorizer.searches.Begin(ctx, request.Client, now) {
		result.Finish(d.authorizer.snapshot, &request.Request, false)
		return
	}
	spent := 0
	defer func() { d.authorizer.searches.End(request.Client, spent) }()
	spent = result.Finish(d.authorizer.snapshot, &request.Request, true)
}

// Sent counts bytes of the response body of a request that was let through.
func (d *Integration) Sent(group *decision.Group, bytes int) {
	if d.authorizer.quota != nil && bytes > 0 {
		d.authorizer.quota.Sent(group.Identity, uint64(bytes), d.authorizer.now())
	}
}

// limit refuses what comes too fast. It costs nothing of a quota.
func (d *Integration) limit(result *Result, now time.Time) {
	if !result.Group.Limits.Rate.IsSet() && !result.Key.Rate.IsSet() {
		return
	}
	verdict := d.authorizer.rates.Admit(result.Group, &result.Key, now)
	result.Rates = verdict.Statuses
	if !verdict.Admitted {
		result.Code, result.RetryAfter = decision.RateLimited, verdict.Wait
	}
}

// failed counts a failed attempt. What is allowed never gets here: a good key is good
// whatever its neighbours do.
func (d *Integration) failed(request *Request, result *Result, now time.Time) {
	wait := d.authorizer.throttle.Fail(request.Client, now)
	switch {
	case wait > 0:
		result.Code = decision.TooManyFailures
		result.RetryAfter = wait
		d.throttled.Inc()
	case request.Client.IsValid():
		d.counted.Inc()
	default:
		d.unattributed.Inc()
	}
}

// logDecision leaves out path, query and referer, in which clients put things that belong
// in no log.
func (d *Integration) logDecision(ctx context.Context, request *Request, result Result) {
	attributes := []slog.Attr{
		slog.String("door", d.name),
		slog.String("request", request.ID),
		slog.String("code", result.Code.String()),
		slog.String("method", loggedMethod(request.Method)),
		slog.String("host", loggedHost(request.Host)),
	}
	if result.Group != nil {
		attributes = append(attributes, slog.String("key", result.Key.ID), slog.String("group", result.Group.Identity))
	}
	if result.Project != nil {
		attributes = append(attributes, slog.String("project", result.Project.Name))
	}
	d.authorizer.log.LogAttrs(ctx, slog.LevelDebug, "decided", attributes...)
}
