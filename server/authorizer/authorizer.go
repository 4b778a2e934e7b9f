// Package authorizer is the engine behind all integrations: it decides, counts and logs. Integrations only translate.
package authorizer

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/authorizer/search"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/principal"
	"github.com/keyward-dev/keyward/server/tracing"
)

// Authorizer decides on one snapshot. It is safe for concurrent use.
type Authorizer struct {
	snapshot decision.Snapshot
	// recognizer is the snapshot, if the snapshot implements it.
	recognizer decision.Recognizer
	signers    decision.Signers // likewise
	now        func() time.Time
	log        *slog.Logger
	throttle   *throttle.Throttle
	searches   *search.Budget
	recorder   Recorder
	meter      Meter
	rates      *ratelimit.Limiter
	quota      Quota
	refusals   Refusals
	public     publicLimit
	reading    routing.Reading
	keys       *credential.Locations
	tallies    *tallies
	attempts   *prometheus.CounterVec
	exposed    *prometheus.CounterVec
	tracer     *tracing.Tracer
	principals *principal.Signer // nil for none
}

// Request is a request as an integration knows it.
type Request struct {
	decision.Request

	// Client is the address that the request comes from; the zero Addr if that is not known.
	Client netip.Addr
	// ID identifies the request in logs.
	ID string

	// Trace is the trace that the request continues, if requests are traced.
	Trace tracing.Parent
}

// Result is what an integration has to respond.
type Result struct {
	decision.Decision

	// RetryAfter is when another attempt makes sense; 0 if that is not known.
	RetryAfter time.Duration

	// Rates are the statuses of the rate limits, if there are any and the request reached them.
	Rates ratelimit.Statuses
}

// Option adds to what an Authorizer does.
type Option func(*Authorizer)

// WithThrottle makes the Authorizer answer failed attempts of a client that had too many with TooManyFailures.
func WithThrottle(t *throttle.Throttle) Option { return func(a *Authorizer) { a.throttle = t } }

// WithSearches bounds the work of finding out which origins may read denials, and which Groups allow preflights.
func WithSearches(b *search.Budget) Option { return func(a *Authorizer) { a.searches = b } }

// WithReading sets how content servers interpret paths.
func WithReading(r routing.Reading) Option { return func(a *Authorizer) { a.reading = r } }

// WithKeys sets where keys are looked for.
func WithKeys(l *credential.Locations) Option { return func(a *Authorizer) { a.keys = l } }

// Keys returns where keys are looked for.
func (a *Authorizer) Keys() *credential.Locations { return a.keys }

// Recorder is notified of every decision. It must not keep the request, nor change anything.
type Recorder interface {
	Record(integration string, at time.Time, request *Request, result *Result)
}

// WithRecorder notifies a recorder of every decision.
func WithRecorder(r Recorder) Option { return func(a *Authorizer) { a.recorder = r } }

// Meter is notified of allowed requests: with which key of which group, when, whether the key's version is retiring, and
// from which address, if that is known. It must not keep the request, nor change anything.
type Meter interface {
	Used(keyID string, group *decision.Group, request *decision.Request, at time.Time, retiring bool, client netip.Addr)
}

// WithMeter notifies a meter of every allowed request.
func WithMeter(m Meter) Option { return func(a *Authorizer) { a.meter = m } }

// WithRates enforces rate limits.
func WithRates(l *ratelimit.Limiter) Option { return func(a *Authorizer) { a.rates = l } }

// WithTracer makes a span of every request.
func WithTracer(t *tracing.Tracer) Option { return func(a *Authorizer) { a.tracer = t } }

// Quota counts what groups use, and keys with a quota of their own.
type Quota interface {
	// Spend counts a request that is allowed otherwise, as so many as it costs: for the group, and for the key with this id, which
	// is empty if the key has no quota of its own. If a quota denies it, Spend returns why, and for how long, if that is known. It
	// may wait.
	Spend(ctx context.Context, group *decision.Group, key string, cost uint64, now time.Time) (decision.Code, time.Duration)
	// Sent counts bytes of response bodies for a group, namespace/name.
	Sent(group string, bytes uint64, now time.Time)
}

// KeyQuotas knows what is left of the quotas of keys.
type KeyQuotas interface {
	// About returns what is known about the quota of a key that has one, for its holder. It spends nothing, and may wait.
	About(ctx context.Context, group *decision.Group, key string, now time.Time) quota.Whole
}

// WithQuota enforces a quota, after everything else has allowed a request.
func WithQuota(q Quota) Option { return func(a *Authorizer) { a.quota = q } }

// New returns an Authorizer that reads the time from now and registers its metrics with metrics.
func New(snapshot decision.Snapshot, now func() time.Time, log *slog.Logger, metrics prometheus.Registerer, options ...Option) *Authorizer {
	a := &Authorizer{
		snapshot: snapshot,
		now:      now,
		log:      log,
		tallies:  newTallies(),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_validator_failed_attempts_total",
			Help: "Failed attempts by integration and outcome: counted against the client's address, throttled, " +
				"or unattributed if the address is not known.",
		}, []string{"integration", "outcome"}),
	}
	a.exposed = newExposed()
	a.recognizer, _ = snapshot.(decision.Recognizer)
	a.signers, _ = snapshot.(decision.Signers)
	metrics.MustRegister(a.tallies, a.attempts, a.exposed)
	for _, option := range options {
		option(a)
	}
	return a
}

// Integration is the Authorizer as one integration uses it.
type Integration struct {
	authorizer *Authorizer
	name       string
	tally      *tally

	counted, throttled, unattributed prometheus.Counter
	inQuery, inProtocol              prometheus.Counter
}

// Integration returns the Authorizer for the integration of that name, which labels its metrics.
func (a *Authorizer) Integration(name string) *Integration {
	i := &Integration{authorizer: a, name: name, tally: a.tallies.of(name)}
	i.counted = a.attempts.WithLabelValues(name, "counted")
	i.throttled = a.attempts.WithLabelValues(name, "throttled")
	i.unattributed = a.attempts.WithLabelValues(name, "unattributed")
	i.inQuery = a.exposed.WithLabelValues(name, decision.InQuery.String())
	i.inProtocol = a.exposed.WithLabelValues(name, decision.InWebSocketProtocol.String())
	return i
}

// Now returns the time by the clock that decisions are made by, for what responses say of them.
func (i *Integration) Now() time.Time { return i.authorizer.now() }

// Decide decides the request as of now.
func (i *Integration) Decide(ctx context.Context, request *Request) (result Result) {
	if i.Traced() {
		i.decideTraced(ctx, request, &result)
	} else {
		i.decide(ctx, request, &result)
	}
	return result
}

// decide fills in a result that is empty: to return it would copy it once more.
func (i *Integration) decide(ctx context.Context, request *Request, result *Result) {
	now := i.authorizer.now()
	request.Reading, request.Address = i.authorizer.reading, request.Client
	if request.Credential.Form == decision.Foreign && i.authorizer.recognizer != nil {
		i.authorizer.recognizer.Recognize(&request.Credential)
	}
	if request.Credential.Form == decision.SignedURL && i.authorizer.signers != nil {
		request.Resolve(i.authorizer.signers)
	}
	*result = Result{Decision: decision.Begin(i.authorizer.snapshot, &request.Request, now)}
	if result.Code == decision.KeyUnknown && i.recognizes(request) { // it was imported by its hash
		*result = Result{Decision: decision.Begin(i.authorizer.snapshot, &request.Request, now)}
	}
	if result.Code == decision.Preflight {
		i.finish(ctx, request, result, now) // the preflight may become a failed attempt
	}
	if result.Code == decision.Allowed && i.authorizer.rates != nil {
		i.limit(result, now)
	}
	// To ask about a key uses neither content nor the key.
	if result.Code == decision.Allowed && i.authorizer.quota != nil && !request.AboutKey {
		result.Code, result.RetryAfter = i.authorizer.quota.Spend(ctx, result.Group, result.Key.QuotaOwner(), uint64(result.Cost), now)
	}
	if result.Code == decision.Public {
		i.limitPublic(request, result, now)
	}
	if result.Code == decision.Allowed && i.authorizer.meter != nil && !request.AboutKey {
		i.authorizer.meter.Used(result.Key.ID, result.Group, &request.Request, now, result.Retiring(), request.Client)
	}
	why := result.Code
	if why.FailedAttempt() {
		i.failed(request, result, now)
	}
	if !result.Allowed() {
		i.finish(ctx, request, result, now)
		i.refused(request, result, why, now)
	}
	if request.Location.IsExposed() {
		i.noteExposed(request.Location)
	}
	i.tally.note(result.Code, time.Since(now)) // a third reading of the clock would be expensive
	if i.authorizer.recorder != nil {
		recorded := *result // a copy, so that only a result that is recorded is on the heap
		i.authorizer.recorder.Record(i.name, now, request, &recorded)
	}
	if i.authorizer.log.Enabled(ctx, slog.LevelDebug) {
		i.logDecision(ctx, request, *result)
	}
}

// recognizes reports whether the credential is known by another digest, which it has then.
func (i *Integration) recognizes(request *Request) bool {
	if i.authorizer.recognizer == nil {
		return false
	}
	was := request.Credential
	i.authorizer.recognizer.Recognize(&request.Credential)
	return request.Credential != was
}

// finish searches other groups, if that is left to do. It skips the search, and accepts any group that allows the origin, for
// a client that fails too often, and while searches take too much time already.
func (i *Integration) finish(ctx context.Context, request *Request, result *Result, now time.Time) {
	if !result.Unfinished() {
		return
	}
	if result.Code == decision.TooManyFailures || !i.authorizer.searches.Begin(ctx, request.Client, now) {
		result.Finish(i.authorizer.snapshot, &request.Request, false)
		return
	}
	spent := 0
	defer func() { i.authorizer.searches.End(request.Client, spent) }()
	spent = result.Finish(i.authorizer.snapshot, &request.Request, true)
}

// Quota returns what is known about the quota of the key of an allowed request; nil if it has none. It may wait.
func (i *Integration) Quota(ctx context.Context, result *Result) *quota.Whole {
	owner := result.Key.QuotaOwner()
	keys, _ := i.authorizer.quota.(KeyQuotas)
	if owner == "" || keys == nil {
		return nil
	}
	is := keys.About(ctx, result.Group, owner, i.authorizer.now())
	return &is
}

// Sent counts bytes of the response body of an allowed request, for the group that is Charged with it, if there is one.
func (i *Integration) Sent(group *decision.Group, bytes int) {
	if i.authorizer.quota != nil && bytes > 0 && group != nil {
		i.authorizer.quota.Sent(group.Identity, uint64(bytes), i.authorizer.now())
	}
}

// limit denies a request that exceeds a rate limit. Such a request spends nothing of a quota.
func (i *Integration) limit(result *Result, now time.Time) {
	if !result.Group.Limits.Rate.IsSet() && !result.Key.Rate.IsSet() {
		return
	}
	verdict := i.authorizer.rates.Admit(result.Group, &result.Key, now)
	result.Rates = verdict.Statuses
	if !verdict.Admitted {
		result.Code, result.RetryAfter = decision.RateLimited, verdict.Wait
	}
}

// failed counts a failed attempt. An allowed request never gets here: a valid key keeps working, however often others at the
// same address fail.
func (i *Integration) failed(request *Request, result *Result, now time.Time) {
	wait := i.authorizer.throttle.Fail(request.Client, now)
	switch {
	case wait > 0:
		result.Code = decision.TooManyFailures
		result.RetryAfter = wait
		i.throttled.Inc()
	case request.Client.IsValid():
		i.counted.Inc()
	default:
		i.unattributed.Inc()
	}
}

// logDecision leaves out path, query and referer, in which clients put things that do not belong in a log.
func (i *Integration) logDecision(ctx context.Context, request *Request, result Result) {
	attributes := []slog.Attr{
		slog.String("integration", i.name),
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
	i.authorizer.log.LogAttrs(ctx, slog.LevelDebug, "decided", attributes...)
}
