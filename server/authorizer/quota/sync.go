package quota

import (
	"slices"
	"sync"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Allow applies allowances. The manager's clock is taken as of when it sent them: that leaves this server behind by the time
// that the message took, never ahead.
func (t *Tracker) Allow(allowances *syncv1.Allowances, now time.Time) {
	t.offset.Store(allowances.GetNowMs() - now.UnixMilli())
	for _, allowance := range allowances.GetGroups() {
		m := t.find(allowance.GetGroup(), allowance.GetKey(), allowance.GetPeriod())
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

func (t *Tracker) find(identity, key, period string) *month {
	all, name := &t.groups, identity
	if key != "" {
		all, name = &t.keys, key
	}
	known, ok := all.Load(name)
	if !ok {
		return nil
	}
	g, _ := known.(*group)
	if g.identity != identity {
		return nil
	}
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
		if !t.isReportable(m) {
			continue
		}
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
		if !t.isReportable(m) {
			return
		}
		if report := m.report(now, closed, whole); report != nil {
			uses = append(uses, report)
		}
	})
	return uses
}

// isReportable reports whether the manager takes what a month is about: an earlier one would count the use of a key as the group's.
func (t *Tracker) isReportable(m *month) bool { return m.key == "" || t.keyQuotas.Load() }

// isAsked reports whether the manager can be asked for more.
func (t *Tracker) isAsked(m *month) bool { return t.connected.Load() && t.isReportable(m) }

// owners calls f with every group, and with every key.
func (t *Tracker) owners(f func(g *group)) {
	for _, all := range []*sync.Map{&t.groups, &t.keys} {
		all.Range(func(_, value any) bool {
			g, _ := value.(*group)
			f(g)
			return true
		})
	}
}

// each calls f with every month of every group and key.
func (t *Tracker) each(f func(m *month)) {
	t.owners(func(g *group) {
		g.mu.Lock()
		months := g.months
		g.mu.Unlock()
		for _, m := range months {
			f(m)
		}
	})
}

// forget drops periods of which the manager accepts no reports any more, which are those before the last one, and groups and keys
// that have no other. So those of two periods are kept, not all that there ever were. A group that was deleted is kept as
// long, because its counters continue if it is created again.
func (t *Tracker) forget(millis int64) {
	t.owners(func(g *group) {
		schedule := t.schedules(g.identity)
		last := schedule.Before(schedule.At(time.UnixMilli(millis))).Begin().UnixMilli()
		g.mu.Lock()
		defer g.mu.Unlock()
		if m := g.current.Load(); m != nil && m.has(millis) { // the schedule may have been changed meanwhile
			last = min(last, m.begins)
		}
		if len(g.months) > 0 && g.months[0].begins >= last {
			return
		}
		g.months = slices.DeleteFunc(slices.Clone(g.months), func(m *month) bool { return m.begins < last })
		switch {
		case len(g.months) > 0:
			return
		case g.key != "":
			t.keys.Delete(g.key)
		default:
			t.groups.Delete(g.identity)
		}
		g.dropped = true
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
	t.each(func(m *month) { reported = reported && (!t.isReportable(m) || m.isReported(closed)) })
	return reported
}
