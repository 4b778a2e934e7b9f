package quota

import (
	"context"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// wholeFor is how long what the manager has said about the whole quota of a key is passed on to its holder without asking again.
const wholeFor = 10 * time.Second

// askPause is how long the manager is not asked again for a holder, however often that one asks.
const askPause = time.Second

// Whole is what is known about the quota of a key, of all servers together.
type Whole struct {
	// Known is set if the manager has said what follows, but for ResetsAt.
	Known bool
	// Requests is how many requests the key may use in the period, and Left how many of them are left.
	Requests, Left uint64
	// ResetsAt is when the period ends.
	ResetsAt time.Time
}

// whole is what the manager has said about a quota, and when. others is what other servers, and earlier incarnations of this one,
// have used of it.
type whole struct {
	known            bool
	requests, others uint64
	at, asked        time.Time
}

// setWhole records what an allowance says. The caller holds mu, and has set what is recorded.
func (m *month) setWhole(of *syncv1.WholeQuota, now time.Time) {
	if of == nil {
		return // from a manager that does not say it
	}
	ours := m.recorded.requests - min(m.recorded.requests, m.recorded.unconfirmed)
	m.whole = whole{known: true, requests: of.GetRequests(), others: of.GetUsed() - min(of.GetUsed(), ours), at: now, asked: m.whole.asked}
}

// about returns what is known. The caller holds mu.
func (m *month) about() Whole {
	if !m.whole.known {
		return Whole{}
	}
	use := m.use()
	used := m.whole.others + use.requests - use.unconfirmed
	return Whole{Known: true, Requests: m.whole.requests, Left: m.whole.requests - min(m.whole.requests, used)}
}

// ask reports whether the manager is to be asked, and closes changed with its next message. The next report is one that it answers then.
func (m *month) ask(now time.Time) (changed <-chan struct{}, asks bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &m.whole
	if m.unresponsive || w.known && now.Sub(w.at) < wholeFor || !w.asked.IsZero() && now.Sub(w.asked) < askPause {
		return nil, false
	}
	w.asked = now
	if m.sequence == 0 { // without an allowance it is not reported otherwise
		m.needed = max(m.needed, 1)
	}
	return m.changed, true
}

// About returns what is known about the quota of a key of a group. It spends nothing. Where the manager has not said it lately, About asks,
// and waits for allowanceTimeout at most.
func (t *Tracker) About(ctx context.Context, of *decision.Group, key string, now time.Time) Whole {
	m := t.of(of.Identity, key, of.Limits.Schedule, now)
	if t.isAsked(m.month) {
		if changed, asks := m.ask(now); asks {
			t.report(m.month)
			timer := time.NewTimer(allowanceTimeout)
			defer timer.Stop()
			select {
			case <-changed:
			case <-timer.C:
			case <-ctx.Done():
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	is := m.about()
	is.ResetsAt = time.UnixMilli(m.ends)
	return is
}
