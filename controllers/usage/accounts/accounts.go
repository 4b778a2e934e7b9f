// Package accounts aggregates what validation servers report of the use of groups, and leases
// them what is left of quotas. Nothing is acknowledged or leased before it is persisted. See
// docs/design/0009-quotas.md.
package accounts

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// gather is how long a report that nobody waits for is held, for others to be persisted
	// with it.
	gatherFor = 2 * time.Second
	// again is how soon to look again whether something has come back for those who wait,
	// and how soon to try again when the store is away.
	recheckAfter = 100 * time.Millisecond
	retryAfter   = time.Second
	// tell is how often servers are told the time.
	timeInterval = 5 * time.Second

	// writesAtOnce are not counted against the writes a second.
	writeBurst = 5

	urgentWorkers = 8
	lazyWorkers   = 2
)

// Config says where accounts are kept, and by which clock.
type Config struct {
	Store store.Store
	Clock clock.WithTickerAndDelayedExecution
	Log   logr.Logger
	// Writes a second that the store is to bear; rate.Inf for any number.
	Writes rate.Limit
	// Settle is how long a new leader waits for servers to be back, and Grace how long a
	// server that was lost is waited for, before what they hold counts as out of reach.
	StartupGrace, Grace time.Duration
}

// Aggregator is safe for concurrent use.
type Aggregator struct {
	config   Config
	limiter  *rate.Limiter
	refusals *rate.Limiter // of log lines

	mu           sync.Mutex
	began        time.Time
	limits       map[string]Limits // by group
	all          map[store.Key]*counters
	sessions     map[*Session]struct{}
	servers      map[string]*Session  // by account
	disconnected map[string]time.Time // accounts whose server was lost, and when
	asked        uint64
	urgent       queue
	lazy         queue
}

// book is one ledger with what is to be done about it.
type counters struct {
	key     store.Key
	reports map[string]*report // the latest of each server
	limits  Limits             // as servers were told
	// waiting is whether a server waits for what others may give back; exhausted, whether
	// servers were told that nothing is left.
	waiting, exhausted bool
	queued, wanted     urgency
	busy               bool // a worker has it

	// The rest belongs to the worker that has it; to read it takes the lock, too.
	entry  store.Entry // its Ledger is nil before it is loaded
	totals store.Totals
	closed map[string]time.Time // since when accounts are known to be closed
}

type report struct {
	account      quotaledger.Account
	wants, asked uint64
	fresh        bool // not persisted yet
}

// New returns an aggregator that knows of nothing.
func New(config Config) *Aggregator {
	return &Aggregator{
		config: config, limiter: rate.NewLimiter(config.Writes, writeBurst), refusals: rate.NewLimiter(1, 100), began: config.Clock.Now(),
		limits: map[string]Limits{}, all: map[store.Key]*counters{}, sessions: map[*Session]struct{}{},
		servers: map[string]*Session{}, disconnected: map[string]time.Time{}, urgent: newQueue(), lazy: newQueue(),
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

// tick tells servers the time, and forgets months that are over.
func (a *Aggregator) tick() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range a.sessions {
		s.outbox.signal()
	}
	now := a.config.Clock.Now()
	for server, since := range a.disconnected {
		if now.Sub(since) > a.config.Grace {
			delete(a.disconnected, server)
		}
	}
	month := quotaledger.MonthOf(now)
	for key, c := range a.all {
		if key.Month != month && key.Month != month.Previous() && !c.busy && c.queued == idle {
			delete(a.all, key)
		}
	}
}

// SetLimits notes the limits of a group. A quota that was raised is leased at once, one that
// was lowered recalled.
func (a *Aggregator) SetLimits(group string, limits Limits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits[group] = limits
	month := quotaledger.MonthOf(a.config.Clock.Now())
	for _, key := range []store.Key{{Group: group, Month: month}, {Group: group, Month: month.Previous()}} {
		if c := a.all[key]; c != nil && !c.limits.equal(limits) {
			a.enqueue(c, true)
		}
	}
}

// Forget drops a group that is gone.
func (a *Aggregator) Forget(group string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.limits, group)
	for key, c := range a.all {
		if key.Group == group && !c.busy {
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
		c = &counters{key: key, reports: map[string]*report{}, limits: a.limits[key.Group], closed: map[string]time.Time{}}
		a.all[key] = c
	}
	return c
}
