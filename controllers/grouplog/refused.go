package grouplog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

var originDenied = decisioncode.OriginDenied.String()

const (
	// bulk is how many requests have to be refused before that is in the log.
	bulk = 100
	// originsNamed is how many origins of refused requests an event names.
	originsNamed = 5
	// refusedDaysKept is of how many days a log remembers what it says: requests of the day before are counted after midnight.
	refusedDaysKept = 2
)

// Origins knows from which origins requests were refused for them.
type Origins interface {
	// RefusedOrigins returns at most so many of a group, namespace/name, those with the most requests first.
	RefusedOrigins(group string, most int) []traffic.Origin
	ForgetRefusedOrigins(group string)
}

// refusedDays are how many requests the log says were refused, by day and decision code.
type refusedDays map[string]map[string]int64

func (r refusedDays) note(event *groupevent.Event) {
	data := groupevent.RequestsRefused{}
	if json.Unmarshal(event.Data, &data) != nil {
		return
	}
	day := r[data.Day]
	if day == nil {
		day = map[string]int64{}
		r[data.Day] = day
	}
	for _, of := range data.Codes {
		day[of.Code] = max(day[of.Code], of.OfDay)
	}
	for len(r) > refusedDaysKept {
		first := data.Day
		for other := range r {
			first = min(first, other)
		}
		delete(r, first)
	}
}

// refused adds an event for each of the latest days of which the log lacks many refusals. The first, for the latest day, has the origins.
func (r refusedDays) refused(e *evidence, days []v1alpha1.DayUsage, origins []traffic.Origin, now time.Time) {
	for i := range days[:min(refusedDaysKept, len(days))] {
		day := &days[i]
		if isLongAgo(day.Day, now) {
			continue
		}
		data := groupevent.RequestsRefused{Day: day.Day}
		for code, requests := range day.Refusals {
			if more := requests - r[day.Day][code]; more > 0 {
				data.Requests += more
				data.Codes = append(data.Codes, groupevent.RefusedCode{Code: code, Requests: more, OfDay: requests})
			}
		}
		if data.Requests < bulk {
			continue
		}
		slices.SortFunc(data.Codes, func(a, b groupevent.RefusedCode) int {
			return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Code, b.Code))
		})
		if len(e.events) == 0 && slices.ContainsFunc(data.Codes, func(of groupevent.RefusedCode) bool { return of.Code == originDenied }) {
			for _, of := range origins {
				data.Origins = append(data.Origins, groupevent.RefusedOrigin{Origin: of.Origin, Requests: of.Requests})
			}
		}
		hour := now.UTC().Truncate(time.Hour)
		e.addToGroup(groupevent.TypeGroupRequestsRefused, e.group.UID, "refused/"+day.Day+"/"+hour.Format(time.RFC3339), now, data)
	}
}

// isLongAgo reports whether a day is so long ago that the log may not remember what it says about it.
func isLongAgo(day string, now time.Time) bool {
	return day < now.UTC().AddDate(0, 0, 1-refusedDaysKept).Format(time.DateOnly)
}

// LookAtRefusals notes of which Groups many requests were refused, by what is persisted. It reads every GroupUsage, a page at a time, and is
// meant to be called once an hour: what is below the bound is in a later event of the day, or in none.
func (w *Writer) LookAtRefusals(ctx context.Context) error {
	for _, namespace := range w.namespaces() {
		err := w.eachUsage(ctx, namespace, func(usage *v1alpha1.GroupUsage) error {
			w.mu.Lock()
			c := w.chains[usage.Status.GroupUID]
			w.mu.Unlock()
			if c == nil || len(usage.Status.Days) == 0 {
				return nil
			}
			found := &evidence{group: c.group, subject: subjectOf(kindGroup, usage)}
			var origins []traffic.Origin
			if w.Origins != nil {
				origins = w.Origins.RefusedOrigins(c.name(), originsNamed)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			found.contacts = c.contacts
			c.refused.refused(found, usage.Status.Days, origins, w.Clock.Now())
			if w.noteIn(c, found) && len(origins) > 0 {
				w.Origins.ForgetRefusedOrigins(c.name())
			}
			return found.err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachUsage calls f with each GroupUsage of a namespace, or of all if it is empty.
func (w *Writer) eachUsage(ctx context.Context, namespace string, f func(*v1alpha1.GroupUsage) error) error {
	list := &v1alpha1.GroupUsageList{}
	for page := true; page; page = list.Continue != "" {
		const usages = 250
		err := w.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(usages), client.Continue(list.Continue))
		if err != nil {
			return fmt.Errorf("listing GroupUsages: %w", err)
		}
		for i := range list.Items {
			if err := f(&list.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
