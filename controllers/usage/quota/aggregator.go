// Package quota aggregates the use of groups, and of keys with a quota of their own, that validation servers report, and leases them
// what is left of quotas.
// Nothing is acknowledged or leased before it is persisted. See docs/design/0009-quotas.md.
package quota

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// gatherFor is how long a report that no server waits for is kept, so that others are persisted with it.
	gatherFor = 2 * time.Second
	// recheckAfter is when to check again whether leases were returned for servers that wait, and retryAfter when to try
	// again after the store has failed.
	recheckAfter = 100 * time.Millisecond
	retryAfter   = time.Second
	// timeInterval is how often servers are sent the time.
	timeInterval = 5 * time.Second

	// writeBurst is how many writes may exceed the writes per second.
	writeBurst = 5

	urgentWorkers = 8
	lazyWorkers   = 2
)

// Config configures an Aggregator.
type Config struct {
	Store store.Store
	// Sessions knows which servers there are.
	Sessions *session.Registry
	Clock    clock.WithTickerAndDelayedExecution
	Log      logr.Logger
	// Writes is the maximum number of writes to the store per second; rate.Inf for no maximum.
	Writes rate.Limit
	// StartupGrace is how long a new leader waits for servers to reconnect, and Grace how long it waits for a disconnected
	// server, before their leases count as unreachable.
	StartupGrace, Grace time.Duration
}

// Aggregator keeps the counters of groups. It is safe for concurrent use.
//
// mu guards everything below it, and is never held while the store is used. A worker that has set busy works on a copy of
// what it needs (view, and a clone of the ledger), and takes mu again to publish the result. The outbox of a Session has a
// lock of its own, which is taken under mu, never the other way round; so is the Hub's lock, by Serves of a session. Nothing
// that holds the Hub's lock calls an Aggregator.
//
// While mu is not held:
//   - an account is in servers while its session is connected, and in runs afterwards, as long as its server may come back;
//   - counters whose queued is not idle are in the queue of that urgency, or a timer will put them there; they may be in the
//     other queue, too, whose workers skip them once another has taken them;
//   - what is leased to servers, in all entries, is persisted: it may be more than servers know, never less.
type Aggregator struct {
	config   Config
	limiter  *rate.Limiter
	refusals *rate.Limiter // of log lines

	mu       sync.Mutex
	began    time.Time
	limits   map[string]Limits // by group
	keys     map[owner]*uint64 // the quotas of keys; nil for one that was removed
	keysRead bool              // keys has all that there are, so that no other key has a quota
	all      map[store.Key]*counters
	sessions map[*Session]struct{}
	servers  map[string]*Session    // by account
	runs     map[string]session.Run // of accounts that are not connected any more, until Sessions has forgotten them
	asked    uint64
	urgent   queue
	lazy     queue
}

// counters is one ledger with the reports that are not in it yet. The Aggregator's lock guards it, except for what belongs to
// the worker that has set busy. At most one worker has it: while busy is set, enqueue raises wanted in place of queued, and
// the worker enqueues it again by that at its end.
type counters struct {
	key     store.Key
	reports map[string]*report // the latest report of each account
	limits  Limits             // as last reported to servers
	// waiting reports that a server waits for leases that others may return; exhausted, that it was reported to servers that
	// nothing is left.
	waiting, exhausted bool
	// short has the servers to which it was reported that some requests cost more than is left.
	short          map[string]struct{}
	queued, wanted urgency
	busy           bool // a worker has it

	// While busy, only the worker writes the rest; it holds the lock to write, and need not hold it to read.
	entry  store.Entry // its Ledger is nil until it is loaded
	totals store.Totals
	closed map[string]time.Time // when an account was first seen to be closed; only the worker uses it
}

type report struct {
	counts              quotaledger.Counters
	wants, needs, asked uint64
	fresh               bool // not persisted yet
}

// New returns an Aggregator without counters.
func New(config Config) *Aggregator {
	return &Aggregator{
		config: config, limiter: rate.NewLimiter(config.Writes, writeBurst), refusals: rate.NewLimiter(1, 100), began: config.Clock.Now(),
		limits: map[string]Limits{}, keys: map[owner]*uint64{}, all: map[store.Key]*counters{}, sessions: map[*Session]struct{}{},
		servers: map[string]*Session{}, runs: map[string]session.Run{}, urgent: newQueue(), lazy: newQueue(),
	}
}

// NeedLeaderElection is true: only the leader leases.
func (a *Aggregator) NeedLeaderElection() bool { return true }

// Start works until the context ends.
func (a *Aggregator) Start(ctx context.Context) error {
	a.mu.Lock()
	a.began = a.config.Clock.Now()
	a.mu.Unlock()
	var workers sync.WaitGroup
	for range urgentWorkers {
		workers.Go(func() { a.work(ctx, &a.urgent) })
	}
	for range lazyWorkers {
		workers.Go(func() { a.work(ctx, &a.lazy) })
	}
	ticker := a.config.Clock.NewTicker(timeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			workers.Wait()
			return nil
		case <-ticker.C():
			a.tick()
		}
	}
}

// tick has the time sent to servers, and forgets periods that are over.
func (a *Aggregator) tick() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range a.sessions {
		s.outbox.signal()
	}
	now := a.config.Clock.Now()
	for server, run := range a.runs {
		if _, mayReturn := a.config.Sessions.Disconnected(run); !mayReturn {
			delete(a.runs, server)
		}
	}
	for key, c := range a.all {
		limits, known := a.limitsOf(key) // until they are known, the reports of the group wait
		if known && !limits.Schedule.Accepts(key.Period, now) && !c.busy && c.queued == idle {
			delete(a.all, key)
		}
	}
}

// SetLimits sets the limits of a group. After a quota was raised, more is leased at once; after it was lowered, leases are
// recalled.
func (a *Aggregator) SetLimits(group string, limits Limits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, known := a.limits[group]
	a.limits[group] = limits
	a.changed(owner{group: group})
	if known && before.Schedule != limits.Schedule { // which is that of its keys, too
		for name := range a.keys {
			if name.group == group {
				a.changed(name)
			}
		}
	}
}

// changed processes the counters whose limits are not those that servers know. The caller holds the lock.
func (a *Aggregator) changed(of owner) {
	limits, known := a.limitsOf(of.ledger(quotaledger.Period{}))
	if !known {
		return
	}
	running := limits.Schedule.At(a.config.Clock.Now())
	for _, period := range []quotaledger.Period{running.Period, limits.Schedule.Before(running).Period} {
		if c := a.all[of.ledger(period)]; c != nil && !c.limits.equal(limits) {
			a.enqueue(c, true)
		}
	}
}

// Forget drops a group that was deleted.
func (a *Aggregator) Forget(group string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.limits, group)
	a.drop(func(key store.Key) bool { return key.Group == group })
}

// drop drops counters that no worker has. The caller holds the lock.
func (a *Aggregator) drop(which func(key store.Key) bool) {
	for key, c := range a.all {
		if which(key) && !c.busy {
			c.reports = map[string]*report{}
			c.entry = store.Entry{}
			c.queued = idle
			delete(a.all, key)
		}
	}
}

func (a *Aggregator) counters(key store.Key) *counters {
	c := a.all[key]
	if c == nil {
		limits, _ := a.limitsOf(key)
		c = &counters{key: key, reports: map[string]*report{}, limits: limits, closed: map[string]time.Time{}, short: map[string]struct{}{}}
		a.all[key] = c
	}
	return c
}
