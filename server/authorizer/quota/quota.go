// Package quota counts what groups use in a period, as a rule a calendar month (UTC), and keys with a quota of their own, and spends
// the allowances that the manager leases to this server. Periods are those of the manager's clock. See docs/design/0009-quotas.md.
package quota

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// allowanceTimeout is how long a request waits for an allowance while the manager is connected.
	allowanceTimeout = 250 * time.Millisecond
	// maxCounted is the most requests, and the most bytes, that the counters of a month accept from elsewhere. The manager
	// accepts twice as many.
	maxCounted = 1 << 51
	// retryAfter is when to try again while it is not known what is left.
	retryAfter = time.Second
)

// Tracker has the counters of this incarnation of the server. It is safe for concurrent use.
//
// Locks: no lock is held while another is spent, except that counting is held while a group's mu is spent. Nothing waits, and
// nothing is sent, under a lock.
//
// Invariants:
//   - groups has at most one group of an identity that is not dropped, and keys of the id of a key; see group.
//   - counting makes Count all or nothing against other calls of Count. Requests and bytes of this server are counted
//     meanwhile, so a month may exceed maxCounted by as many, which is why the manager accepts twice as many.
//   - Every month in urgent, which mu guards, is followed by a value in wake: Urgent empties urgent, and report
//     sends after it has added to it. A value in wake while urgent is empty does no harm.
//   - closed, once set, stays set. A report that was made before it is superseded by one that is made afterwards.
//   - offset, connected and keyQuotas are hints: a stale value counts a request in the period that has just ended, or makes one request
//     wait, or not wait, for the manager.
//   - schedules does not change after Follow, which is called before anything is counted.
type Tracker struct {
	incarnation string
	metrics     *metrics
	offset      atomic.Int64 // the manager's clock minus ours, in milliseconds
	connected   atomic.Bool
	keyQuotas   atomic.Bool // the manager that is or was connected last takes the use of keys
	groups      sync.Map    // of *group by its identity
	keys        sync.Map    // of *group by the id of a key with a quota of its own
	schedules   func(identity string) quotaledger.Schedule
	wake        chan struct{}

	counting sync.Mutex // held while usage from elsewhere is counted

	mu     sync.Mutex
	urgent map[*month]struct{}
	closed bool
}

// group has the counters of the current period, and of earlier ones for as long as there is anything to report of them: those of
// a group, or of one key of it with a quota of its own.
//
// Invariants: current, which is read without the lock, is nil or has one that was in months when it was set; a request that uses
// it checks that it is that of the instant, by the schedule that the group has now. Only the holder of mu changes current, months
// and dropped. Elements of months are appended, or the slice is replaced: a copy of the slice stays valid without the lock. Once
// dropped is set, the group is not in Tracker.groups or keys and months is empty: a request that has still found the group looks it up
// again, so that nothing is counted here.
type group struct {
	identity string
	key      string // the id of the key; empty for the whole group
	current  atomic.Pointer[running]

	mu      sync.Mutex
	months  []*month
	dropped bool
}

// running is a month of counters as long as it lasts by a schedule. It does not change.
type running struct {
	*month

	schedule quotaledger.Schedule
	ends     int64 // Unix milliseconds of the manager's clock
}

func (r *running) has(millis int64) bool { return r.begins <= millis && millis < r.ends }

// New returns a Tracker of a new incarnation, in which nothing is counted.
func New(registry prometheus.Registerer) *Tracker {
	return &Tracker{
		incarnation: rand.Text(), metrics: newMetrics(registry), wake: make(chan struct{}, 1), urgent: map[*month]struct{}{},
		schedules: func(string) quotaledger.Schedule { return quotaledger.Schedule{} },
	}
}

// Follow sets what knows when the periods of groups begin. Without it, those of groups that requests do not say are calendar months.
func (t *Tracker) Follow(schedules func(identity string) quotaledger.Schedule) {
	t.schedules = schedules
}

// Incarnation distinguishes this run of the server from others.
func (t *Tracker) Incarnation() string { return t.incarnation }

// Spend counts a request that is allowed otherwise as so many as it costs: for the group, and for the key with this id, which is
// empty if the key has no quota of its own. If a quota denies it, Spend returns why: less than that is left of the quota for the
// duration, or it is not known whether it is. It waits for the manager if that may help.
func (t *Tracker) Spend(ctx context.Context, of *decision.Group, key string, cost uint64, now time.Time) (decision.Code, time.Duration) {
	if key == "" {
		return t.spend(ctx, of, cost, now)
	}
	return t.spendBoth(ctx, of, key, cost, now)
}

// spend is Spend for the group alone.
func (t *Tracker) spend(ctx context.Context, of *decision.Group, cost uint64, now time.Time) (decision.Code, time.Duration) {
	limits := &of.Limits
	m := t.of(of.Identity, "", limits.Schedule, now)
	switch {
	case limits.Metered || !limits.RequestQuota && !limits.ByteQuota:
		m.free.Add(cost)
		return decision.Allowed, 0
	case !limits.RequestQuota, cost == 0 && limits.ByteQuota:
		if m.exhausted.Load() {
			return t.exceeded(m, now)
		}
		m.free.Add(cost)
		return decision.Allowed, 0
	}
	if spent, low := m.take(int64(cost)); spent {
		if low {
			t.report(m.month)
		}
		return decision.Allowed, 0
	}
	switch t.await(ctx, m, cost, now) {
	case granted:
		return decision.Allowed, 0
	case usedUp:
		return t.exceeded(m, now)
	case abandoned:
		return t.unavailable(0)
	}
	if limits.DenyUnknown {
		return t.unavailable(retryAfter)
	}
	m.unconfirmed.Add(cost)
	t.metrics.unconfirmed.Add(float64(cost))
	return decision.Allowed, 0
}

// outcome is how it ends to wait for an allowance.
type outcome uint8

const (
	unknown   outcome = iota // the manager does not say what is left
	granted                  // it was spent, or held if the allowance is a key's
	usedUp                   // less than the cost is left of the quota
	abandoned                // the client has disconnected
)

// await waits for an allowance when what is left of it is less than the cost.
func (t *Tracker) await(ctx context.Context, m *running, cost uint64, now time.Time) outcome {
	var timeout <-chan time.Time
	for {
		changed, unresponsive := m.wantsMore(cost, now)
		if m.acquire(cost) {
			return granted
		}
		if m.exhausted.Load() || m.isTooMuch(cost, now) {
			return usedUp
		}
		t.report(m.month)
		if !t.isAsked(m.month) || unresponsive {
			return unknown
		}
		if timeout == nil {
			t.metrics.waited.Inc()
			timer := time.NewTimer(allowanceTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			m.markUnresponsive()
			return unknown
		case <-ctx.Done():
			return abandoned
		}
	}
}

func (t *Tracker) exceeded(m *running, now time.Time) (decision.Code, time.Duration) {
	t.metrics.exceeded.Inc()
	code := decision.QuotaExceeded
	if m.key != "" {
		code = decision.KeyQuotaExceeded
	}
	return code, time.Duration(m.ends-t.managerMillis(now)) * time.Millisecond
}

func (t *Tracker) unavailable(wait time.Duration) (decision.Code, time.Duration) {
	t.metrics.unavailable.Inc()
	return decision.QuotaUnavailable, wait
}

// Sent counts bytes of response bodies for a group, namespace/name.
func (t *Tracker) Sent(identity string, bytes uint64, now time.Time) {
	t.month(identity, now).bytes.Add(bytes)
}

// Amount is the use of a group that this server has not seen itself.
type Amount struct {
	Group           string // namespace/name
	Requests, Bytes uint64
}

// Count counts requests that were allowed elsewhere, which need no allowance any more. No group may be in amounts twice. If
// the counters of a group would exceed what can be counted in a month, it counts nothing and returns the group: the manager
// would refuse all further reports of that group's month.
func (t *Tracker) Count(amounts []Amount, now time.Time) (full string, ok bool) {
	t.counting.Lock()
	defer t.counting.Unlock()
	for _, a := range amounts {
		m := t.month(a.Group, now)
		if m.free.Load()+a.Requests > maxCounted || m.bytes.Load()+a.Bytes > maxCounted {
			return a.Group, false
		}
	}
	for _, a := range amounts {
		m := t.month(a.Group, now)
		m.free.Add(a.Requests)
		m.bytes.Add(a.Bytes)
	}
	return "", true
}

// SetConnected sets whether the manager is connected, so that it can be asked.
func (t *Tracker) SetConnected(connected bool) { t.connected.Store(connected) }

func (t *Tracker) managerMillis(now time.Time) int64 { return now.UnixMilli() + t.offset.Load() }

// of returns the counters of the running period by the manager's clock: of a group, or of one of its keys.
func (t *Tracker) of(identity, key string, schedule quotaledger.Schedule, now time.Time) *running {
	millis := t.managerMillis(now)
	for {
		g := t.group(identity, key)
		if m := g.current.Load(); m != nil && m.schedule == schedule && m.has(millis) {
			return m
		}
		if m := g.roll(schedule, millis); m != nil {
			return m
		}
	}
}

// month is of for a group of which only the name is known. A change of its schedule takes effect when the running period ends.
func (t *Tracker) month(identity string, now time.Time) *running {
	if m := t.group(identity, "").current.Load(); m != nil && m.has(t.managerMillis(now)) {
		return m
	}
	return t.of(identity, "", t.schedules(identity), now)
}

func (t *Tracker) group(identity, key string) *group {
	all, name := &t.groups, identity
	if key != "" {
		all, name = &t.keys, key
	}
	known, ok := all.Load(name)
	if !ok {
		// The id of a key is a part of a text with many of them, which would be kept.
		known, _ = all.LoadOrStore(strings.Clone(name), &group{identity: identity, key: strings.Clone(key)})
	}
	g, _ := known.(*group)
	return g
}

// roll makes the period of an instant the current one. It returns nil if the group was dropped meanwhile.
func (g *group) roll(schedule quotaledger.Schedule, millis int64) *running {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dropped {
		return nil
	}
	span := schedule.At(time.UnixMilli(millis))
	now := &running{schedule: schedule, ends: span.End().UnixMilli()}
	for _, m := range g.months {
		if m.begins == span.Begin().UnixMilli() {
			now.month = m
		}
	}
	if now.month == nil {
		now.month = newMonth(g.identity, g.key, span.Period)
		g.months = append(g.months, now.month)
	}
	g.current.Store(now)
	return now
}

// report makes the syncclient report the month soon.
func (t *Tracker) report(m *month) {
	t.mu.Lock()
	t.urgent[m] = struct{}{}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Wake receives a value when there is something to report soon: see Urgent.
func (t *Tracker) Wake() <-chan struct{} { return t.wake }
