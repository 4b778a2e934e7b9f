package quota

import (
	"slices"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Allow applies allowances. The manager's clock is taken as of when it sent them: that leaves this server behind by the time
// that the message took, never ahead.
func (t *Tracker) Allow(allowances *syncv1.Allowances, now time.Time) {
	t.offset.Store(allowances.GetNowMs() - now.UnixMilli())
	for _, allowance := range allowances.GetGroups() {
		m := t.find(allowance.GetGroup(), allowance.GetPeriod())
		if m == nil {
			continue
		}
		if allowance.GetRefused() != "" {
			t.metrics.refused.Inc()
			m.refuse(now)
			continue
		}
		if m.allow(allowance, now) {
			t.report(m)
		}
	}
}

func (t *Tracker) find(identity, period string) *month {
	known, ok := t.groups.Load(identity)
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

// Urgent returns what has to be reported at once: months that need more, or give back.
func (t *Tracker) Urgent(now time.Time) []*syncv1.GroupUse {
	t.mu.Lock()
	urgent, closed := t.urgent, t.closed
	t.urgent = map[*month]struct{}{}
	t.mu.Unlock()
	var uses []*syncv1.GroupUse
	for m := range urgent {
		if report := m.report(now, closed, true); report != nil {
			uses = append(uses, report)
		}
	}
	return uses
}

// Due returns everything that the manager has not persisted. At the beginning of a stream it has to be whole: with every month
// that has an allowance, so that the manager knows which servers to recall it from.
func (t *Tracker) Due(now time.Time, whole bool) []*syncv1.GroupUse {
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	t.forget(t.managerMillis(now))
	var uses []*syncv1.GroupUse
	t.each(func(m *month) {
		if report := m.report(now, closed, whole); report != nil {
			uses = append(uses, report)
		}
	})
	return uses
}

// each calls f with every month of every group.
func (t *Tracker) each(f func(m *month)) {
	t.groups.Range(func(_, value any) bool {
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

// forget drops periods of which the manager accepts no reports any more, which are those before the last one, and groups that
// have no other. So the groups of two periods are kept, not all that there ever were. A group that was deleted is kept as
// long, because its counters continue if it is created again.
func (t *Tracker) forget(millis int64) {
	t.groups.Range(func(_, value any) bool {
		g, _ := value.(*group)
		schedule := t.schedules(g.identity)
		last := schedule.Before(schedule.At(time.UnixMilli(millis))).Begin().UnixMilli()
		g.mu.Lock()
		defer g.mu.Unlock()
		if m := g.current.Load(); m != nil && m.has(millis) { // the schedule may have been changed meanwhile
			last = min(last, m.begins)
		}
		if len(g.months) > 0 && g.months[0].begins >= last {
			return true
		}
		g.months = slices.DeleteFunc(slices.Clone(g.months), func(m *month) bool { return m.begins < last })
		if len(g.months) == 0 {
			g.dropped = true
			t.groups.Delete(g.identity)
		}
		return true
	})
}

// Close ends the incarnation: what is not spent is given back, and nothing more is spent.
func (t *Tracker) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// Reported reports whether the manager has persisted everything.
func (t *Tracker) Reported() bool {
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	reported := true
	t.each(func(m *month) { reported = reported && m.isReported(closed) })
	return reported
}
