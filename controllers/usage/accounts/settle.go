package accounts

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
	// attempts are made when others write the ledger, too.
	attempts = 5
	// foldAfter is how long a closed account is told from others, so that what its server
	// sends twice is not counted twice; foldFrom is from how many accounts on that matters.
	foldAfter = 10 * time.Minute
	foldFrom  = 64
)

var errUnknownLimits = errors.New("the limits of the group are not known yet")

// process settles a book, and sees to it that it is looked at again where that is needed.
func (a *Aggregator) process(ctx context.Context, b *counters) {
	err := a.persist(ctx, b)
	a.mu.Lock()
	defer a.mu.Unlock()
	b.busy = false
	wanted := b.wanted
	b.wanted = idle
	switch {
	case errors.Is(err, store.ErrNoGroup):
		a.dismiss(b, err)
	case err != nil && ctx.Err() == nil:
		a.config.Log.Error(err, "Usage cannot be persisted; servers hold it until it can", "group", b.key.Group, "period", b.key.Month.String())
		a.later(b, retry)
	case b.waiting:
		a.later(b, again)
	}
	if wanted != idle {
		a.enqueue(b, wanted == urgently)
	}
}

func (a *Aggregator) later(b *counters, wait time.Duration) {
	a.config.Clock.AfterFunc(wait, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.all[b.key] == b {
			a.enqueue(b, true)
		}
	})
}

// dismiss refuses what was reported of a group that is gone. The caller holds the lock.
func (a *Aggregator) dismiss(b *counters, err error) {
	for server := range b.reports {
		if s := a.servers[server]; s != nil {
			s.refuse(b.key.Group, b.key.Month.String(), err)
		}
	}
	delete(a.all, b.key)
}

// view is what a worker needs to know, at one instant.
type view struct {
	now     time.Time
	limits  Limits
	peers   map[string]quotaledger.Peer
	reports map[string]*report // fresh ones
	refused map[string]error
}

// settle persists what was reported of a book, and what is leased by it, and then says so.
func (a *Aggregator) persist(ctx context.Context, b *counters) error {
	for range attempts {
		if err := a.load(ctx, b); err != nil {
			return err
		}
		v, err := a.look(b)
		if err != nil {
			return err
		}
		work := b.entry.Ledger.Clone()
		for server, r := range v.reports {
			adopt(work, server)
			if err := work.Report(server, r.account); err != nil {
				v.refused[server] = err
			}
		}
		b.fold(work, v.now)
		var outcome quotaledger.Outcome
		if quotaledger.MonthOf(v.now) == b.key.Month {
			outcome = work.Allow(v.limits.quota(work.Total()), v.peers)
		}
		entry := store.Entry{Ledger: work, Version: b.entry.Version}
		totals := v.limits.totals(work.Total())
		if totals != b.totals || !v.limits.equal(b.limits) || !work.Equal(b.entry.Ledger) {
			entry.Version, err = a.save(ctx, b.key, entry, totals)
			if errors.Is(err, store.ErrConflict) {
				a.mu.Lock()
				b.entry = store.Entry{}
				a.mu.Unlock()
				continue
			}
			if err != nil {
				return err
			}
		}
		a.report(b, v, entry, totals, outcome)
		return nil
	}
	return fmt.Errorf("%w, again and again", store.ErrConflict)
}

func (a *Aggregator) load(ctx context.Context, b *counters) error {
	if b.entry.Ledger != nil {
		return nil
	}
	entry, err := a.config.Store.Load(ctx, b.key)
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b.entry = entry
	b.totals = a.limits[b.key.Group].totals(entry.Ledger.Total())
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

// look takes down what is known now.
func (a *Aggregator) look(b *counters) (*view, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limits, known := a.limits[b.key.Group]
	if !known {
		return nil, errUnknownLimits
	}
	v := &view{
		now: a.config.Clock.Now(), limits: limits,
		peers: map[string]quotaledger.Peer{}, reports: map[string]*report{}, refused: map[string]error{},
	}
	for server := range b.entry.Ledger.Accounts {
		v.peers[server] = quotaledger.Peer{Presence: a.presence(server, v.now)}
	}
	for server, r := range b.reports {
		presence := a.presence(server, v.now)
		v.peers[server] = quotaledger.Peer{Presence: presence, Wants: r.wants, Sequence: r.account.Sequence, Asked: r.asked}
		switch {
		case r.fresh:
			v.reports[server] = r
		case presence == quotaledger.Disconnected:
			delete(b.reports, server)
		}
	}
	return v, nil
}

// presence is whether the server of an account can be asked. The caller holds the lock.
func (a *Aggregator) presence(server string, now time.Time) quotaledger.Presence {
	lost, wasHere := a.lost[server]
	switch {
	case a.servers[server] != nil:
		return quotaledger.Connected
	case now.Sub(a.began) < a.config.StartupGrace, wasHere && now.Sub(lost) < a.config.Grace:
		return quotaledger.Expected
	default:
		return quotaledger.Disconnected
	}
}

// fold forgets accounts that were closed long ago.
func (b *counters) fold(work *quotaledger.Ledger, now time.Time) {
	for server, account := range work.Accounts {
		if _, known := b.closed[server]; account.Closed && !known {
			b.closed[server] = now
		}
	}
	if len(work.Accounts) < foldFrom {
		return
	}
	work.Fold(func(server string) bool { return now.Sub(b.closed[server]) < foldAfter })
}

// tell puts into the outboxes what has been persisted.
func (a *Aggregator) report(b *counters, v *view, entry store.Entry, totals store.Totals, outcome quotaledger.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.entry, b.totals = entry, totals
	b.waiting = outcome.Waiting
	usedUp := v.limits.usedUp(entry.Ledger.Total())
	exhausted := usedUp || outcome.Exhausted || b.exhausted && !a.reopened(b, v, outcome)
	turned := exhausted != b.exhausted || !b.limits.equal(v.limits)
	b.exhausted, b.limits = exhausted, v.limits

	for server, s := range a.servers {
		account, known := entry.Ledger.Accounts[server]
		_, asked := v.reports[server]
		recall := slices.Contains(outcome.Recall, server)
		refusal := v.refused[server]
		if !asked && !recall && !slices.Contains(outcome.Raised, server) && (!turned || !known) {
			continue
		}
		if refusal != nil {
			s.refuse(b.key.Group, b.key.Month.String(), refusal)
			delete(b.reports, server)
			continue
		}
		s.outbox.put(b.key, allowance(b, account, recall))
	}
	for server, r := range v.reports {
		r.fresh = false // a later report is another one
		if r.account.Closed && b.reports[server] == r {
			delete(b.reports, server)
		}
	}
}

// reopened is whether servers that were told that nothing is left may ask again. The caller
// holds the lock.
func (a *Aggregator) reopened(b *counters, v *view, outcome quotaledger.Outcome) bool {
	return len(outcome.Raised) > 0 || outcome.Waiting || b.entry.Ledger.Committed() < v.limits.quota(b.entry.Ledger.Total())
}

func allowance(b *counters, account quotaledger.Account, recall bool) *syncv1.Allowance {
	state := syncv1.QuotaState_QUOTA_STATE_OPEN
	if b.exhausted {
		state = syncv1.QuotaState_QUOTA_STATE_EXHAUSTED
	}
	return &syncv1.Allowance{
		Group: b.key.Group, Period: b.key.Month.String(), ResetsAtMs: b.key.Month.End().UnixMilli(),
		Leased: account.Leased, Sequence: account.Sequence, Recall: recall, State: state,
		Recorded: &syncv1.GroupUse{
			Requests: account.Requests, Bytes: account.Bytes, UnconfirmedRequests: account.Unconfirmed,
			Leased: account.Leased, Sequence: account.Sequence, Spent: account.Spent, Closed: account.Closed,
		},
	}
}
