// Package quota counts what groups use in a calendar month (UTC), and spends the allowances
// that the manager leases to this server. Months are those of the manager's clock. See
// docs/design/0009-quotas.md.
package quota

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/server/decision"
)

// patience is how long a request waits for an allowance while the manager is there.
const patience = 250 * time.Millisecond

// mostCounted is the most requests, and the most bytes, that an account takes from elsewhere. The
// manager takes twice as many.
const mostCounted = 1 << 51

// retryAfter is when to try again while nobody knows what is left.
const retryAfter = time.Second

// Book is the accounts of this life of the server. It is safe for concurrent use.
type Tracker struct {
	incarnation string
	metrics     *metrics
	offset      atomic.Int64 // the manager's clock less ours, milliseconds
	linked      atomic.Bool
	groups      sync.Map // of *group by its identity
	wake        chan struct{}

	counting sync.Mutex // of what was let through elsewhere

	mu     sync.Mutex
	urgent map[*month]struct{}
	closed bool
}

// group has the account of the current month at hand, and those before as long as there is
// something to report of them.
type group struct {
	identity string
	current  atomic.Pointer[month]

	mu     sync.Mutex
	months []*month
	gone   bool // it is forgotten, and nothing may be counted here any more
}

// New returns a book of a new life, in which nothing is counted.
func New(registry prometheus.Registerer) *Tracker {
	return &Tracker{incarnation: rand.Text(), metrics: newMetrics(registry), wake: make(chan struct{}, 1), urgent: map[*month]struct{}{}}
}

// Life tells this run of the server from others.
func (b *Tracker) Incarnation() string { return b.incarnation }

// Spend counts a request of the group that is let through otherwise, or says why it is not:
// the quota is used up until after the duration, or it is not known whether it is. It waits
// for the manager where that may help.
func (b *Tracker) Spend(ctx context.Context, of *decision.Group, now time.Time) (decision.Code, time.Duration) {
	m := b.month(of.Identity, now)
	limits := &of.Limits
	switch {
	case limits.Metered || !limits.RequestQuota && !limits.ByteQuota:
		m.free.Add(1)
		return decision.Allowed, 0
	case !limits.RequestQuota:
		if m.exhausted.Load() {
			return b.exceeded(m, now)
		}
		m.free.Add(1)
		return decision.Allowed, 0
	}
	if taken, low := m.take(); taken {
		if low {
			b.report(m)
		}
		return decision.Allowed, 0
	}
	return b.await(ctx, m, limits.DenyUnknown, now)
}

// await is Spend where no allowance is left.
func (b *Tracker) await(ctx context.Context, m *month, deny bool, now time.Time) (decision.Code, time.Duration) {
	var timeout <-chan time.Time
	for {
		changed, unresponsive := m.wantsMore()
		if taken, _ := m.take(); taken {
			return decision.Allowed, 0
		}
		if m.exhausted.Load() {
			return b.exceeded(m, now)
		}
		b.report(m)
		if !b.linked.Load() || unresponsive {
			break
		}
		if timeout == nil {
			b.metrics.waited.Inc()
			timer := time.NewTimer(patience)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
			continue
		case <-timeout:
			m.markUnresponsive()
		case <-ctx.Done():
			b.metrics.unavailable.Inc()
			return decision.QuotaUnavailable, 0 // nobody reads it
		}
		break
	}
	if deny {
		b.metrics.unavailable.Inc()
		return decision.QuotaUnavailable, retryAfter
	}
	m.unconfirmed.Add(1)
	b.metrics.unconfirmed.Inc()
	return decision.Allowed, 0
}

func (b *Tracker) exceeded(m *month, now time.Time) (decision.Code, time.Duration) {
	b.metrics.exceeded.Inc()
	return decision.QuotaExceeded, time.Duration(m.ends-b.managerMillis(now)) * time.Millisecond
}

// Sent counts bytes of response bodies of a group, namespace/name.
func (b *Tracker) Sent(identity string, bytes uint64, now time.Time) {
	b.month(identity, now).bytes.Add(bytes)
}

// Amount is what a group has used elsewhere.
type Amount struct {
	Group           string // namespace/name
	Requests, Bytes uint64
}

// Count counts what was let through elsewhere, which needs no allowance any more; no group
// twice. Where the account of a month would have more than can be counted, it counts nothing,
// and returns the group: the manager would not take that account any more, with all in it.
func (b *Tracker) Count(amounts []Amount, now time.Time) (full string, ok bool) {
	b.counting.Lock()
	defer b.counting.Unlock()
	for _, a := range amounts {
		m := b.month(a.Group, now)
		if m.free.Load()+a.Requests > mostCounted || m.bytes.Load()+a.Bytes > mostCounted {
			return a.Group, false
		}
	}
	for _, a := range amounts {
		m := b.month(a.Group, now)
		m.free.Add(a.Requests)
		m.bytes.Add(a.Bytes)
	}
	return "", true
}

// Linked notes whether the manager is there to be asked.
func (b *Tracker) Linked(linked bool) { b.linked.Store(linked) }

func (b *Tracker) managerMillis(now time.Time) int64 { return now.UnixMilli() + b.offset.Load() }

// month returns the account of the month in which the manager's clock is.
func (b *Tracker) month(identity string, now time.Time) *month {
	millis := b.managerMillis(now)
	for {
		known, ok := b.groups.Load(identity)
		if !ok {
			known, _ = b.groups.LoadOrStore(identity, &group{identity: identity})
		}
		g, _ := known.(*group)
		if m := g.current.Load(); m != nil && m.begins <= millis && millis < m.ends {
			return m
		}
		if m := g.roll(millis); m != nil {
			return m
		}
	}
}

// roll makes the month of an instant the current one; nil where the group was just forgotten.
func (g *group) roll(millis int64) *month {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return nil
	}
	for _, m := range g.months {
		if m.begins <= millis && millis < m.ends {
			g.current.Store(m)
			return m
		}
	}
	m := newMonth(g.identity, time.UnixMilli(millis))
	g.months = append(g.months, m)
	g.current.Store(m)
	return m
}

// report has the account reported soon.
func (b *Tracker) report(m *month) {
	b.mu.Lock()
	b.urgent[m] = struct{}{}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Wake receives when something should be reported soon.
func (b *Tracker) Wake() <-chan struct{} { return b.wake }
