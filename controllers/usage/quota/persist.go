package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// attempts is how often a write is tried when others write the ledger, too.
	attempts = 5
	// foldAfter is how long a closed account is kept separately, so that a report that its server sends twice is not counted
	// twice; foldFrom is the number of accounts from which on they are folded.
	foldAfter = 10 * time.Minute
	foldFrom  = 64
)

var (
	errUnknownLimits = errors.New("the limits of the group are not known yet")
	errNoPeriod      = errors.New("it is no period of the group's quotas")
)

// process persists the reports of counters, and enqueues them again where that is necessary.
func (a *Aggregator) process(ctx context.Context, c *counters) {
	err := a.persist(ctx, c)
	a.mu.Lock()
	defer a.mu.Unlock()
	c.busy = false
	wanted := c.wanted
	c.wanted = idle
	switch {
	case errors.Is(err, store.ErrNoGroup), errors.Is(err, store.ErrNoKey), errors.Is(err, errNoPeriod), errors.Is(err, errNoKey):
		a.refuseAll(c, err)
	case err != nil && ctx.Err() == nil:
		a.config.Log.Error(err, "Usage cannot be persisted; servers keep it until it can",
			"group", c.key.Group, "key", c.key.Owner, "period", c.key.Period.String())
		a.later(c, retryAfter)
	case c.waiting:
		a.later(c, recheckAfter)
	}
	if wanted != idle {
		a.enqueue(c, wanted == urgently)
	}
}

func (a *Aggregator) later(c *counters, wait time.Duration) {
	a.config.Clock.AfterFunc(wait, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.all[c.key] == c {
			a.enqueue(c, true)
		}
	})
}

// refuseAll refuses the reports of a group or a key that was deleted, or of what is no period of it. The caller holds the lock.
func (a *Aggregator) refuseAll(c *counters, err error) {
	for server := range c.reports {
		if s := a.servers[server]; s != nil {
			s.refuse(ownerOf(c.key), c.key.Period.String(), err)
		}
	}
	delete(a.all, c.key)
}

// view is a consistent copy of what a worker needs.
type view struct {
	now     time.Time
	limits  Limits
	peers   map[string]quotaledger.Peer
	reports map[string]*report // fresh ones
	refused map[string]error
}

// persist persists what was reported, and what is leased because of it, and reports that to the servers afterwards.
func (a *Aggregator) persist(ctx context.Context, c *counters) error {
	for range attempts {
		if err := a.load(ctx, c); err != nil {
			return err
		}
		v, err := a.takeView(c)
		if err != nil {
			return err
		}
		work := c.entry.Ledger.Clone()
		for server, r := range v.reports {
			adopt(work, server)
			if err := work.Report(server, r.counts); err != nil {
				v.refused[server] = err
			}
		}
		c.fold(work, v.now)
		var outcome quotaledger.Outcome
		if v.limits.Schedule.At(v.now).Period == c.key.Period {
			outcome = work.Allow(v.limits.quota(work.Total()), v.peers)
		}
		entry := store.Entry{Ledger: work, Version: c.entry.Version, Before: c.entry.Ledger.Total()}
		totals := v.limits.totals(work.Total())
		// Of a Group also what is shown beside the ledger depends on its limits.
		shown := c.key.Owner == "" && (totals != c.totals || !v.limits.equal(c.limits))
		if shown || !work.Equal(c.entry.Ledger) {
			entry.Version, err = a.save(ctx, c.key, entry, totals)
			if errors.Is(err, store.ErrConflict) {
				a.mu.Lock()
				c.entry = store.Entry{}
				a.mu.Unlock()
				continue
			}
			if err != nil {
				return err
			}
		}
		a.report(c, v, entry, totals, outcome)
		return nil
	}
	return fmt.Errorf("%w, several times in a row", store.ErrConflict)
}

func (a *Aggregator) load(ctx context.Context, c *counters) error {
	if c.entry.Ledger != nil {
		return nil
	}
	entry, err := a.config.Store.Load(ctx, c.key)
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c.entry = entry
	limits, _ := a.limitsOf(c.key)
	c.totals = limits.totals(entry.Ledger.Total())
	return nil
}

func (a *Aggregator) save(ctx context.Context, key store.Key, entry store.Entry, totals store.Totals) (string, error) {
	if err := a.limiter.Wait(ctx); err != nil {
		return "", fmt.Errorf("waiting to persist: %w", err)
	}
	begin := a.config.Clock.Now()
	version, err := a.config.Store.Save(ctx, key, entry, totals)
	writes.WithLabelValues(outcomeOf(err)).Inc()
	writeSeconds.Observe(a.config.Clock.Since(begin).Seconds())
	if err != nil {
		return "", fmt.Errorf("persisting: %w", err)
	}
	return version, nil
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "written"
	case errors.Is(err, store.ErrConflict):
		return "conflict"
	default:
		return "failed"
	}
}

// takeView copies what is known now.
func (a *Aggregator) takeView(c *counters) (*view, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limits, known := a.limitsOf(c.key)
	switch {
	case a.isGone(c.key):
		return nil, errNoKey
	case !known:
		return nil, errUnknownLimits
	}
	if !limits.Schedule.Begins(c.key.Period) {
		return nil, errNoPeriod
	}
	v := &view{
		now: a.config.Clock.Now(), limits: limits,
		peers: map[string]quotaledger.Peer{}, reports: map[string]*report{}, refused: map[string]error{},
	}
	for server := range c.entry.Ledger.Servers {
		v.peers[server] = quotaledger.Peer{Presence: a.presence(server, v.now)}
	}
	for server, r := range c.reports {
		presence := a.presence(server, v.now)
		v.peers[server] = quotaledger.Peer{Presence: presence, Wants: r.wants, Needs: r.needs, Sequence: r.counts.Sequence, Asked: r.asked}
		switch {
		case r.fresh:
			v.reports[server] = r
		case presence == quotaledger.Disconnected:
			delete(c.reports, server)
		}
	}
	return v, nil
}

// presence reports whether the server of an account can be reached. The caller holds the lock.
func (a *Aggregator) presence(server string, now time.Time) quotaledger.Presence {
	disconnectedAt, wasConnected := time.Time{}, false
	if run, known := a.runs[server]; known {
		disconnectedAt, wasConnected = a.config.Sessions.Disconnected(run)
	}
	switch {
	case a.servers[server] != nil:
		return quotaledger.Connected
	case now.Sub(a.began) < a.config.StartupGrace, wasConnected && now.Sub(disconnectedAt) < a.config.Grace:
		return quotaledger.Expected
	default:
		return quotaledger.Disconnected
	}
}

// fold merges accounts that were closed long ago.
func (c *counters) fold(work *quotaledger.Ledger, now time.Time) {
	for server, counts := range work.Servers {
		if _, known := c.closed[server]; counts.Closed && !known {
			c.closed[server] = now
		}
	}
	if len(work.Servers) < foldFrom {
		return
	}
	work.Fold(func(server string) bool { return now.Sub(c.closed[server]) < foldAfter })
}

// report puts what was persisted into the outboxes.
func (a *Aggregator) report(c *counters, v *view, entry store.Entry, totals store.Totals, outcome quotaledger.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.entry, c.totals = entry, totals
	c.waiting = outcome.Waiting
	usedUp := v.limits.usedUp(entry.Ledger.Total())
	exhausted := usedUp || outcome.Exhausted || c.exhausted && !a.mayAskAgain(c, v, outcome)
	changed := exhausted != c.exhausted || !c.limits.equal(v.limits)
	c.exhausted, c.limits = exhausted, v.limits

	for server, s := range a.servers {
		counts, known := entry.Ledger.Servers[server]
		_, asked := v.reports[server]
		recall := slices.Contains(outcome.Recall, server)
		refusal := v.refused[server]
		short := slices.Contains(outcome.Short, server)
		news := c.setShort(server, short)
		if !asked && !recall && !news && !slices.Contains(outcome.Raised, server) && (!changed || !known) {
			continue
		}
		if refusal != nil {
			s.refuse(ownerOf(c.key), c.key.Period.String(), refusal)
			delete(c.reports, server)
			continue
		}
		answer := allowance(c, counts, recall)
		if requests := v.limits.Requests; c.key.Owner != "" && requests != nil {
			answer.Whole = &syncv1.WholeQuota{Requests: *requests, Used: totals.Requests - totals.Unconfirmed}
		}
		if short {
			answer.RefuseFrom = outcome.Attainable + 1
		}
		s.outbox.put(c.key, answer)
	}
	for server, r := range v.reports {
		r.fresh = false // a later report is another object
		if r.counts.Closed && c.reports[server] == r {
			delete(c.reports, server)
		}
	}
}

// setShort records whether a request of a server costs more than is left, and reports whether that is news.
func (c *counters) setShort(server string, short bool) (news bool) {
	_, was := c.short[server]
	if short {
		c.short[server] = struct{}{}
	} else {
		delete(c.short, server)
	}
	return short != was
}

// mayAskAgain reports whether servers to which it was reported that nothing is left may ask again. The caller holds the lock.
func (a *Aggregator) mayAskAgain(c *counters, v *view, outcome quotaledger.Outcome) bool {
	return len(outcome.Raised) > 0 || outcome.Waiting || c.entry.Ledger.Committed() < v.limits.quota(c.entry.Ledger.Total())
}

func allowance(c *counters, counts quotaledger.Counters, recall bool) *syncv1.Allowance {
	state := syncv1.QuotaState_QUOTA_STATE_OPEN
	if c.exhausted {
		state = syncv1.QuotaState_QUOTA_STATE_EXHAUSTED
	}
	return &syncv1.Allowance{
		Group: c.key.Group, Key: c.key.Owner, Period: c.key.Period.String(), ResetsAtMs: c.limits.Schedule.SpanOf(c.key.Period).End().UnixMilli(),
		Leased: counts.Leased, Sequence: counts.Sequence, Recall: recall, State: state,
		Recorded: &syncv1.GroupUse{
			Requests: counts.Requests, Bytes: counts.Bytes, UnconfirmedRequests: counts.Unconfirmed,
			Leased: counts.Leased, Sequence: counts.Sequence, Spent: counts.Spent, Closed: counts.Closed,
		},
	}
}
