package quota

import (
	"sync"
	"sync/atomic"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// minWanted is the least that a server asks for, unless it knows that the quota is used up.
	minWanted = 16
	// allowanceDuration is how long an allowance should last at the present pace. It bounds how often the manager has to
	// persist one, and how much is lost with a server that crashes.
	allowanceDuration = 5 * time.Minute
	// refusedPause is how long a refused report is not sent again, and keyRefusedPause that of a key: the manager may have heard
	// later than this server that the key has a quota.
	refusedPause    = 30 * time.Second
	keyRefusedPause = time.Second
	// refuseFor is how long requests are refused that cost more than is left, before the manager is asked again.
	refuseFor = 10 * time.Second
	// maxWanted keeps sums in range.
	maxWanted = 1 << 40
)

// month has the counters of one group, or of one key, in one period, which is as a rule a month.
//
// Requests spend the allowance without a lock, and everything else works under mu. What may be relied on:
//
//   - leased minus left is what was spent or is held; held, which mu guards, is 0 except during requests that two allowances
//     have to allow (see hold). leased and left are changed together, under mu, only by allow, which adds the same
//     to both, and giveBack, which subtracts the same from both. Spending lowers left alone, by what a request costs, in one atomic step. So
//     for everybody who reads both under mu, what was spent never decreases; and a recall cannot lose a request that is spent
//     at the same time: giveBack takes what is left in one step, and the request has been spent before it or finds nothing.
//   - left is never negative: take decrements only what is positive, and nothing else decrements, except giveBack to zero. Only allow and cancel add to it.
//   - sequence only grows. leased grows only with an allowance of a later sequence, to what that one grants, and shrinks only by
//     giveBack. After closed is set, it does not grow, so nothing is spent any more: the manager may lease the rest to others.
//   - A request is counted once: it is spent from left, or it adds its cost to free (it needed no allowance) or to unconfirmed
//     (it needed one, and there was none). requests of a report is the sum of the three. free, unconfirmed and bytes only
//     grow.
//   - use reads the counters one after another while requests go on. It never counts a request that was not allowed, and
//     one that it misses is in the next report, because that one differs from recorded.
//   - low and exhausted are copies for requests, without the lock, of what the manager has said last. An old value delays a
//     report, or the first denial or the first allowed request after the manager's message, by as long as the message is
//     being processed.
//   - changed is closed, and replaced, with each message of the manager. A request takes the channel first and tries to spend
//     afterwards (see await), so it cannot miss an allowance that arrives in between.
type month struct {
	group, period string
	key           string // the id of the key; empty for the whole group
	begins        int64  // Unix milliseconds of the manager's clock

	left                     atomic.Int64 // what may still be spent
	low                      atomic.Int64 // when left gets there, it is time to ask for more
	free, unconfirmed, bytes atomic.Uint64
	exhausted                atomic.Bool

	mu               sync.Mutex
	leased, sequence uint64
	held             uint64        // what is neither left nor spent, because requests that wait may need it
	needed           uint64        // the cost of the most expensive request that has found less left since the allowance was raised
	refuseFrom       uint64        // the cost from which on requests are refused, because less is left of the quota; 0 if that is not known
	refuseUntil      time.Time     // when that is asked about again: others may have returned something
	unresponsive     bool          // the manager did not respond when it was asked last
	changed          chan struct{} // closed with the manager's next message
	raised           time.Time     // when the allowance was raised last
	spentThen        uint64        // what was spent by then
	recorded         use           // as the manager has persisted it
	whole            whole         // what the manager has said about the whole quota, of a key
	closed           bool          // what was left is given back for good
	refused          time.Time     // when the manager refused the latest report; zero if it did not
}

// use is a GroupUse in comparable form.
type use struct {
	leased, sequence, spent, requests, unconfirmed, bytes uint64
	closed                                                bool
}

func newMonth(group, key string, period quotaledger.Period) *month {
	return &month{group: group, key: key, period: period.String(), changed: make(chan struct{}), begins: period.Begin().UnixMilli()}
}

// take spends what a request costs. It reports low when it is time to ask for more.
func (m *month) take(cost int64) (spent, low bool) {
	for {
		left := m.left.Load()
		if left < cost {
			return false, false
		}
		if m.left.CompareAndSwap(left, left-cost) {
			at := m.low.Load()
			return true, left > at && left-cost <= at
		}
	}
}

// isTooMuch reports whether less than the cost is left of the quota, as far as is known.
func (m *month) isTooMuch(cost uint64, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refuses(cost, now)
}

// refuses is isTooMuch for a caller that holds mu.
func (m *month) refuses(cost uint64, now time.Time) bool {
	return m.refuseFrom > 0 && cost >= m.refuseFrom && now.Before(m.refuseUntil)
}

// wantsMore records that more is needed than is left. It returns a channel that is closed when the manager responds, and whether the manager
// did not respond the last time.
func (m *month) wantsMore(cost uint64, now time.Time) (changed <-chan struct{}, unresponsive bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.refuses(cost, now) { // otherwise nothing would be leased for cheaper ones
		m.needed = max(m.needed, cost)
	}
	return m.changed, m.unresponsive
}

func (m *month) markUnresponsive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unresponsive = true
}

// refuse records that the manager refused the latest report, such as one of a group that was deleted.
func (m *month) refuse(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = now
}

// isPaused reports whether the manager has just refused a report. The caller holds mu.
func (m *month) isPaused(now time.Time) bool {
	pause := refusedPause
	if m.key != "" {
		pause = keyRefusedPause
	}
	return !m.refused.IsZero() && now.Sub(m.refused) < pause
}

// allow applies an allowance, and reports whether the manager wants a report at once.
func (m *month) allow(a *syncv1.Allowance, now time.Time) (report bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.GetSequence() > m.sequence {
		m.sequence = a.GetSequence()
		if a.GetLeased() > m.leased && !m.closed { // once closed, the manager has leased it to another server
			left := m.left.Add(int64(a.GetLeased() - m.leased))
			m.leased = a.GetLeased()
			m.low.Store(left / 2)
			m.raised, m.spentThen = now, m.leased-uint64(left)-m.held
			m.needed = 0 // who still waits says so again
		}
	}
	if a.GetRecall() && a.GetSequence() == m.sequence {
		m.giveBack()
		report = true
	}
	m.refuseFrom, m.refuseUntil = a.GetRefuseFrom(), now.Add(refuseFor)
	if m.refuses(m.needed, now) {
		m.needed = 0
	}
	m.exhausted.Store(a.GetState() == syncv1.QuotaState_QUOTA_STATE_EXHAUSTED)
	if r := a.GetRecorded(); r != nil {
		m.recorded = use{r.GetLeased(), r.GetSequence(), r.GetSpent(), r.GetRequests(), r.GetUnconfirmedRequests(), r.GetBytes(), r.GetClosed()}
	}
	m.setWhole(a.GetWhole(), now)
	m.unresponsive, m.refused = false, time.Time{}
	close(m.changed)
	m.changed = make(chan struct{})
	return report
}

// giveBack reduces the allowance to what is spent or held. The caller holds mu.
func (m *month) giveBack() { m.leased -= uint64(m.left.Swap(0)) }

// use reads the counters. The caller holds mu.
func (m *month) use() use {
	spent := m.leased - uint64(m.left.Load()) - m.held
	unconfirmed, free := m.unconfirmed.Load(), m.free.Load()
	return use{m.leased, m.sequence, spent, spent + unconfirmed + free, unconfirmed, m.bytes.Load(), false}
}

// report returns the counters if there is anything that the manager does not know, or, if whole is set, if the month has, or
// had, an allowance; otherwise nil.
func (m *month) report(now time.Time, closing, whole bool) *syncv1.GroupUse {
	m.mu.Lock()
	defer m.mu.Unlock()
	if closing {
		m.close()
	} else if m.isPaused(now) {
		return nil
	}
	is := m.use()
	is.closed = closing && (is != use{})
	wants, needs := uint64(0), uint64(0)
	if !closing {
		wants = m.wants(is.spent, now)
		needs = m.needed
	}
	if is == m.recorded && wants == 0 && (!whole || m.sequence == 0) {
		return nil
	}
	return &syncv1.GroupUse{
		Group: m.group, Key: m.key, Period: m.period, Requests: is.requests, Bytes: is.bytes, UnconfirmedRequests: is.unconfirmed,
		Leased: is.leased, Sequence: is.sequence, Spent: is.spent, Wants: wants, Needs: needs, Closed: is.closed,
	}
}

// wants returns how much more to ask for: as much as lasts for allowanceDuration at the pace of the present allowance. A server
// that knows that the quota is used up keeps asking for one request, so that it is notified when there is more. The caller holds
// mu.
func (m *month) wants(spent uint64, now time.Time) uint64 {
	left := m.left.Load()
	lacks := m.needed - min(m.needed, uint64(left))
	switch {
	case m.exhausted.Load():
		return 1
	case lacks == 0 && (left > m.low.Load() || left == 0):
		return 0
	case m.raised.IsZero():
		return max(minWanted, lacks)
	}
	elapsed := max(now.Sub(m.raised), time.Millisecond)
	pace := float64(spent-m.spentThen) / float64(elapsed)
	return max(minWanted, lacks, uint64(min(pace*float64(allowanceDuration), maxWanted)))
}

// isReported reports whether the manager has persisted the counters as they are, or refuses to.
func (m *month) isReported(closing bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	is := m.use()
	is.closed = closing && (is != use{})
	return is == m.recorded || !m.refused.IsZero()
}
