package quota

import (
	"sync"
	"sync/atomic"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

const (
	// leastWanted is what a server asks for at least, while the quota is far.
	leastWanted = 16
	// ahead is for how long an allowance should last at the pace of now. It bounds how often
	// the manager has to persist one, and what is lost with a server that crashes.
	ahead = 5 * time.Minute
	// refusedPause is how long what was refused is not reported again.
	refusedPause = 30 * time.Second
	// mostWanted keeps sums in range.
	mostWanted = 1 << 40
)

// month is the account of one group in one month.
type month struct {
	group, period string
	begins, ends  int64 // Unix milliseconds of the manager's clock

	// left is what may still be spent. What was spent is leased less left.
	left                     atomic.Int64
	low                      atomic.Int64 // reported when left gets there
	free, unconfirmed, bytes atomic.Uint64
	exhausted                atomic.Bool

	mu               sync.Mutex
	leased, sequence uint64
	moreWanted       bool          // somebody needs more than is left
	unresponsive     bool          // the manager did not answer when it was asked
	changed          chan struct{} // closed when the manager says something
	raised           time.Time     // when the allowance was, and spent by then
	spentThen        uint64
	recorded         use
	over             bool      // what was left is given back for good
	refused          time.Time // when the manager did not take the latest report
}

// use is a GroupUse in comparable form.
type use struct {
	leased, sequence, spent, requests, unconfirmed, bytes uint64
	closed                                                bool
}

func newMonth(group string, at time.Time) *month {
	at = at.UTC()
	begin := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	return &month{
		group: group, period: begin.Format("2006-01"), changed: make(chan struct{}),
		begins: begin.UnixMilli(), ends: begin.AddDate(0, 1, 0).UnixMilli(),
	}
}

// take spends one. It says low when it is time to ask for more.
func (m *month) take() (taken, low bool) {
	for {
		left := m.left.Load()
		if left <= 0 {
			return false, false
		}
		if m.left.CompareAndSwap(left, left-1) {
			return true, left-1 == m.low.Load()
		}
	}
}

// hunger notes that more is needed, and returns what is closed when the manager answers, and
// whether it did not the last time.
func (m *month) wantsMore() (changed <-chan struct{}, unresponsive bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moreWanted = true
	return m.changed, m.unresponsive
}

func (m *month) markUnresponsive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unresponsive = true
}

// refuse notes that the manager did not take the latest report, such as of a group that is
// gone.
func (m *month) refuse(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = now
}

// allow takes over what the manager says, and returns whether it wants an answer at once.
func (m *month) allow(a *syncv1.Allowance, now time.Time) (answer bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.GetSequence() > m.sequence {
		m.sequence = a.GetSequence()
		if a.GetLeased() > m.leased && !m.over { // one on its way to a life that has ended is somebody else's by now
			left := m.left.Add(int64(a.GetLeased() - m.leased))
			m.leased = a.GetLeased()
			m.low.Store(left / 2)
			m.raised, m.spentThen = now, m.leased-uint64(left)
			m.moreWanted = false
		}
	}
	if a.GetRecall() && a.GetSequence() == m.sequence {
		m.giveBack()
		answer = true
	}
	m.exhausted.Store(a.GetState() == syncv1.QuotaState_QUOTA_STATE_EXHAUSTED)
	if r := a.GetRecorded(); r != nil {
		m.recorded = use{r.GetLeased(), r.GetSequence(), r.GetSpent(), r.GetRequests(), r.GetUnconfirmedRequests(), r.GetBytes(), r.GetClosed()}
	}
	m.unresponsive, m.refused = false, time.Time{}
	close(m.changed)
	m.changed = make(chan struct{})
	return answer
}

// giveBack keeps of the allowance what is spent. The caller holds mu.
func (m *month) giveBack() { m.leased -= uint64(m.left.Swap(0)) }

// use reads the account at one instant. The caller holds mu.
func (m *month) use() use {
	spent := m.leased - uint64(m.left.Load())
	unconfirmed, free := m.unconfirmed.Load(), m.free.Load()
	return use{m.leased, m.sequence, spent, spent + unconfirmed + free, unconfirmed, m.bytes.Load(), false}
}

// report returns the account, where there is something that the manager does not know. Where
// whole is set it is enough that it has an allowance, or has had.
func (m *month) report(now time.Time, closing, whole bool) *syncv1.GroupUse {
	m.mu.Lock()
	defer m.mu.Unlock()
	if closing {
		m.giveBack()
		m.over = true
	} else if !m.refused.IsZero() && now.Sub(m.refused) < refusedPause {
		return nil
	}
	is := m.use()
	is.closed = closing && (is != use{})
	wants := uint64(0)
	if !closing {
		wants = m.wants(is.spent, now)
	}
	if is == m.recorded && wants == 0 && (!whole || m.sequence == 0) {
		return nil
	}
	return &syncv1.GroupUse{
		Group: m.group, Period: m.period, Requests: is.requests, Bytes: is.bytes, UnconfirmedRequests: is.unconfirmed,
		Leased: is.leased, Sequence: is.sequence, Spent: is.spent, Wants: wants, Closed: is.closed,
	}
}

// wants is how much more to ask for: as much as lasts for a while at the pace of the
// present allowance. A server that knows that all is used up goes on asking for one, so
// that it hears when there is more. The caller holds mu.
func (m *month) wants(spent uint64, now time.Time) uint64 {
	left := m.left.Load()
	switch {
	case m.exhausted.Load():
		return 1
	case left > m.low.Load(), left == 0 && !m.moreWanted:
		return 0
	case m.raised.IsZero():
		return leastWanted
	}
	elapsed := max(now.Sub(m.raised), time.Millisecond)
	pace := float64(spent-m.spentThen) / float64(elapsed)
	return max(leastWanted, uint64(min(pace*float64(ahead), mostWanted)))
}

// isSettled is whether the manager has persisted the account as it is, or will not.
func (m *month) isReported(closing bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	is := m.use()
	is.closed = closing && (is != use{})
	return is == m.recorded || !m.refused.IsZero()
}
