// Package window closes windows of what was used of a Group into events for billing engines. It is pure: from the outbox that is persisted,
// what the ledger says, and an instant, it computes the outbox that is persisted next. Nothing may be sent before that.
//
// A window has the cumulative value of its period and the difference to the window before, so that the differences of a period add up to
// what was sent last, regardless of what crashed and of when servers have reported. What is reported late is in the next window.
package window

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

const (
	// Length is that of a window. One is longer where nothing was used, or where there was no room for it.
	Length = time.Hour
	// MaxPending is how many windows may wait: more than three days of them. While it is reached, none is closed, and the next one
	// has all since the last one.
	MaxPending = 100
	// maxPeriods is of how many periods it is known what was closed: those that still receive reports, and one more.
	maxPeriods = 3
	// tail is the time at the end of a period that has the instants of its last windows. Those that are closed later, because of late
	// reports, have an instant in the period, too, or they would be on the next invoice.
	tail = 15 * time.Minute
)

// Used is what was used in a period, as far as the ledger knows.
type Used struct {
	Period     string
	Begin, End time.Time
	Amounts    v1alpha1.BillingAmounts
}

// Of returns what is recorded of the latest periods of a Group, ascending, and the running one also if nothing was used in it.
func Of(u *usagequery.Usage, at time.Time) []Used {
	recorded := u.Periods() // the latest first
	all := make([]Used, 0, maxPeriods+1)
	for i := min(len(recorded), maxPeriods) - 1; i >= 0; i-- {
		p := &recorded[i]
		used := p.Amounts()
		all = append(all, Used{Period: p.Name, Begin: p.Begin, End: p.End, Amounts: v1alpha1.BillingAmounts{
			TotalRequests: used.Requests, OverageRequests: min(used.OverageRequests, used.Requests),
			UnconfirmedRequests: min(used.UnconfirmedRequests, used.Requests),
			TotalBytes:          used.Bytes, OverageBytes: min(used.OverageBytes, used.Bytes),
		}})
	}
	running := u.Schedule.At(at)
	if len(all) == 0 || all[len(all)-1].Begin.Before(running.Begin()) {
		all = append(all, Used{Period: running.String(), Begin: running.Begin(), End: running.End()})
	}
	return all
}

// Full is the result of Close where windows were not closed because too many wait.
type Full bool

// Close closes the windows that have ended at an instant, and reports whether there was no room for one. used is ascending. A new outbox
// begins with the period that has the instant: what was used before is not billed by it.
func Close(o *v1alpha1.BillingOutboxSpec, used []Used, at time.Time) Full {
	return closeUntil(o, used, at, at.UTC().Truncate(Length))
}

// CloseFinally closes the last windows of a Group that is deleted, up to the instant and regardless of how many wait.
func CloseFinally(o *v1alpha1.BillingOutboxSpec, used []Used, at time.Time) {
	at = at.UTC().Truncate(time.Second)
	final := true
	o.Final = &final
	_ = closeUntil(o, used, at, at)
}

func closeUntil(o *v1alpha1.BillingOutboxSpec, used []Used, at, until time.Time) (full Full) {
	if o.Next == 0 {
		o.Next = 1
	}
	for i := range used {
		u := &used[i]
		p := periodOf(o, u, at)
		if p == nil {
			continue
		}
		cumulative := grown(p.Closed, u.Amounts)
		delta := minus(cumulative, p.Closed)
		if delta == (v1alpha1.BillingAmounts{}) {
			continue
		}
		end := until
		final := o.Final != nil && *o.Final
		if !end.After(p.Through.Time) {
			if !final {
				continue
			}
			end = p.Through.Add(time.Second) // ids have the start of a window, so no two may start at once
		}
		if len(o.Windows) >= MaxPending && !final {
			full = true
			continue
		}
		if u.End.After(p.Through.Time) && end.After(u.End) {
			end = u.End // later windows are of late reports alone
		}
		w := v1alpha1.BillingWindow{
			First: o.Next, Period: u.Period, Start: p.Through, End: metav1.NewTime(end), Instant: metav1.NewTime(instant(p, u, end)),
			Billing: o.Billing, Cumulative: cumulative, Delta: delta,
		}
		o.Windows = append(o.Windows, w)
		o.Next += int64(len(Events(o, &w)))
		p.Through, p.Instant, p.Closed = w.End, &w.Instant, cumulative
	}
	return full
}

// periodOf returns what was closed of a period; nil for one that is not billed from this outbox.
func periodOf(o *v1alpha1.BillingOutboxSpec, u *Used, at time.Time) *v1alpha1.BillingPeriod {
	for i := range o.Periods {
		if o.Periods[i].Period == u.Period {
			return &o.Periods[i]
		}
	}
	switch n := len(o.Periods); {
	case at.Before(u.Begin): // the clock was set back
		return nil
	case n == 0 && !at.Before(u.End):
		return nil
	case n > 0 && !u.Begin.After(beginOf(&o.Periods[n-1])):
		return nil
	case n == maxPeriods:
		o.Periods = append(o.Periods[:0], o.Periods[1:]...)
	}
	o.Periods = append(o.Periods, v1alpha1.BillingPeriod{Period: u.Period, Through: metav1.NewTime(u.Begin.UTC())})
	return &o.Periods[len(o.Periods)-1]
}

func beginOf(p *v1alpha1.BillingPeriod) time.Time {
	if parsed, err := quotaledger.ParsePeriod(p.Period); err == nil {
		return parsed.Begin()
	}
	return p.Through.Time
}

// instant returns the instant of the next window of a period: its end, but always in the period and after the one before.
func instant(p *v1alpha1.BillingPeriod, u *Used, end time.Time) time.Time {
	at := end
	if latest := u.End.Add(-tail); at.After(latest) {
		at = latest
	}
	if p.Instant != nil && !at.After(p.Instant.Time) {
		at = p.Instant.Add(time.Second)
	}
	if last := u.End.Add(-time.Second); at.After(last) {
		at = last
	}
	return at.UTC()
}

// grown returns what the ledger says, where a total that is less than what was sent is that: what is billed is not taken back when a
// ledger was lost.
func grown(closed, now v1alpha1.BillingAmounts) v1alpha1.BillingAmounts {
	now.TotalRequests = max(now.TotalRequests, closed.TotalRequests)
	now.UnconfirmedRequests = max(now.UnconfirmedRequests, closed.UnconfirmedRequests)
	now.TotalBytes = max(now.TotalBytes, closed.TotalBytes)
	return now
}

func minus(a, b v1alpha1.BillingAmounts) v1alpha1.BillingAmounts {
	return v1alpha1.BillingAmounts{
		TotalRequests: a.TotalRequests - b.TotalRequests, OverageRequests: a.OverageRequests - b.OverageRequests,
		UnconfirmedRequests: a.UnconfirmedRequests - b.UnconfirmedRequests,
		TotalBytes:          a.TotalBytes - b.TotalBytes, OverageBytes: a.OverageBytes - b.OverageBytes,
	}
}

// Acknowledge records up to which number receivers have events, and drops windows that all of them have. Numbers only grow. It reports
// whether something has changed. Receivers that are not listed are forgotten.
func Acknowledge(o *v1alpha1.BillingOutboxSpec, receivers []string, through map[string]int64) (changed bool) {
	was := map[string]int64{}
	for _, r := range o.Receivers {
		was[r.Name] = r.Through
	}
	o.Receivers = nil
	everybody := o.Next - 1
	for _, name := range receivers {
		at := max(was[name], min(through[name], o.Next-1))
		changed = changed || at != was[name]
		everybody = min(everybody, at)
		if at > 0 {
			o.Receivers = append(o.Receivers, v1alpha1.BillingReceiver{Name: name, Through: at})
		}
		delete(was, name)
	}
	kept := 0
	for kept < len(o.Windows) && last(o, kept) <= everybody {
		kept++
	}
	o.Windows = append([]v1alpha1.BillingWindow(nil), o.Windows[kept:]...)
	return changed || kept > 0 || len(was) > 0
}

// last returns the number of the last event of a window.
func last(o *v1alpha1.BillingOutboxSpec, i int) int64 {
	if i+1 < len(o.Windows) {
		return o.Windows[i+1].First - 1
	}
	return o.Next - 1
}
