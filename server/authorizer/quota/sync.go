package quota

import (
	"slices"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Allow takes over what the manager says. Its clock is taken as it was when it wrote: that
// leaves this server behind by the time that the message took, never ahead.
func (b *Tracker) Allow(said *syncv1.Allowances, now time.Time) {
	b.offset.Store(said.GetNowMs() - now.UnixMilli())
	for _, allowance := range said.GetGroups() {
		m := b.find(allowance.GetGroup(), allowance.GetPeriod())
		if m == nil {
			continue
		}
		if allowance.GetRefused() != "" {
			b.metrics.refused.Inc()
			m.refuse(now)
			continue
		}
		if m.allow(allowance, now) {
			b.report(m)
		}
	}
}

func (b *Tracker) find(identity, period string) *month {
	known, ok := b.groups.Load(identity)
	if !ok {
		return nil
	}
	g, _ := known.(*group)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.months {
		if m.period == period {
			return m
		}
	}
	return nil
}

// Urgent returns what should be reported at once: who needs more, and who gives back.
func (b *Tracker) Urgent(now time.Time) []*syncv1.GroupUse {
	b.mu.Lock()
	urgent, closed := b.urgent, b.closed
	b.urgent = map[*month]struct{}{}
	b.mu.Unlock()
	var uses []*syncv1.GroupUse
	for m := range urgent {
		if report := m.report(now, closed, true); report != nil {
			uses = append(uses, report)
		}
	}
	return uses
}

// Due returns all that the manager has not persisted. At the beginning of a stream it is to
// be whole: with every account that has an allowance, so that the manager knows whom to ask
// for it.
func (b *Tracker) Due(now time.Time, whole bool) []*syncv1.GroupUse {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	b.forget(b.managerMillis(now))
	var uses []*syncv1.GroupUse
	b.each(func(m *month) {
		if report := m.report(now, closed, whole); report != nil {
			uses = append(uses, report)
		}
	})
	return uses
}

// each calls f with every account.
func (b *Tracker) each(f func(m *month)) {
	b.groups.Range(func(_, value any) bool {
		g, _ := value.(*group)
		g.mu.Lock()
		months := g.months
		g.mu.Unlock()
		for _, m := range months {
			f(m)
		}
		return true
	})
}

// forget drops accounts of which the manager takes no reports any more, those from before the last month, and groups
// that have no other. So it holds the groups of two months, not all that there ever were; a group that is gone stays
// until then, as its account goes on if it comes back.
func (b *Tracker) forget(millis int64) {
	at := time.UnixMilli(millis).UTC()
	last := time.Date(at.Year(), at.Month()-1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	b.groups.Range(func(identity, value any) bool {
		g, _ := value.(*group)
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.months) > 0 && g.months[0].ends > last {
			return true
		}
		g.months = slices.DeleteFunc(slices.Clone(g.months), func(m *month) bool { return m.ends <= last })
		if len(g.months) == 0 {
			g.gone = true
			b.groups.Delete(identity)
		}
		return true
	})
}

// Close ends the life: what is not spent is given back, and nothing more is spent.
func (b *Tracker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// Settled is whether the manager has persisted everything.
func (b *Tracker) Reported() bool {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	settled := true
	b.each(func(m *month) { settled = settled && m.isReported(closed) })
	return settled
}
