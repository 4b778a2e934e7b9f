package view

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usagequery"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// ErrMonth is that a text is no month, or none of which the days are kept.
var ErrMonth = errors.New("nothing is kept of this month")

// shownShares is how many keys, origins or codes are shown.
const shownShares = 20

// Usage is what was used of a Group in a month such as 2026-03, or in this one if it is empty. keys are those of the Group that were read; if all is
// false, there are more.
func (s *Sight) Usage(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage, keys []v1alpha1.ApiKey, all bool, name string) (page.Usage, error) {
	this := quotaledger.MonthOf(s.Now.UTC())
	month := this
	if name != "" {
		var err error
		if month, err = quotaledger.ParseMonth(name); err != nil {
			return page.Usage{}, ErrMonth
		}
	}
	oldest := s.Now.UTC().AddDate(0, 0, 1-usageseries.MaxDays)
	if month.Begin().After(s.Now) || month.End().Before(oldest) {
		return page.Usage{}, ErrMonth
	}
	usage := page.Usage{Month: month.Begin().Format("January 2006")}
	if month.Begin().After(oldest) {
		usage.Earlier = s.Group.Of("usage") + "?month=" + month.Previous().String()
	}
	if month != this {
		usage.Later = s.Group.Of("usage") + "?month=" + month.Next().String()
	} else {
		usage.Limits = s.limits(group, recorded)
	}
	of, series := usagequery.Of(group, recorded), map[string]adminv1.UsageSeries{}
	for _, by := range []string{adminv1.ByDay, adminv1.ByCode, adminv1.ByOrigin} {
		query, err := usagequery.Parse(by, month.String(), month.String(), s.Now)
		if err != nil {
			return page.Usage{}, ErrMonth
		}
		series[by] = query.Series(of)
		if by == adminv1.ByOrigin { // after that by day, of which the keys have a part; its range is whole months, of which more is kept than of days
			usage.Keys = s.keyShares(keys, query, series[adminv1.ByDay].Total.Requests, all)
		}
	}
	days := series[adminv1.ByDay]
	for _, point := range days.Points {
		on, _ := time.Parse(time.DateOnly, point.Day)
		usage.Days = append(usage.Days, page.Day{On: on, Allowed: point.Requests, Refused: point.Refused})
	}
	if days.Total.Requests == 0 && days.Total.Refused == 0 {
		usage.Days = nil
	}
	for _, point := range series[adminv1.ByOrigin].Points {
		usage.Origins = append(usage.Origins, page.Share{Name: point.Origin, Requests: point.Requests})
	}
	if days.Total.Requests > 0 {
		usage.Codes = []page.Share{{Name: "allowed", Requests: days.Total.Requests}}
	}
	for _, point := range series[adminv1.ByCode].Points {
		usage.Codes = append(usage.Codes, page.Share{Name: point.Code, Requests: point.Refused})
	}
	usage.Origins = usage.Origins[:min(len(usage.Origins), shownShares)]
	usage.Codes = usage.Codes[:min(len(usage.Codes), shownShares)]
	return usage, nil
}

// keyShares are the keys with the most requests in a month. Those that are not shown, or that do not exist any more, are together, as far as the total
// says.
func (s *Sight) keyShares(keys []v1alpha1.ApiKey, query usagequery.Query, total int64, all bool) (shares []page.Share) {
	for i := range keys {
		requests, _ := query.KeyRequests(&keys[i])
		if requests > 0 {
			shares = append(shares, page.Share{Name: s.name(&keys[i]), Href: s.key(&keys[i]).Of(), Requests: requests})
		}
	}
	slices.SortFunc(shares, func(a, b page.Share) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Href, b.Href))
	})
	cut := len(shares) > shownShares
	shares = shares[:min(len(shares), shownShares)]
	for _, share := range shares {
		total -= share.Requests
	}
	if (cut || !all) && total > 0 {
		shares = append(shares, page.Share{Name: "other keys", Requests: total})
	}
	return shares
}

// limits are those of the running period, with how much of them is used and will be.
func (s *Sight) limits(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage) []page.Limit {
	of := usagequery.Of(group, recorded)
	latest := ""
	if periods := of.Periods(); len(periods) > 0 {
		latest = periods[0].Name
	}
	span := usagequery.Running(tier.Schedule(group), latest, s.Now)
	used, err := of.PeriodNamed(span.String())
	if err != nil {
		return nil
	}
	limits := tier.InForce(group)
	var most *int64
	if quantity := limits.BytesPerMonth; quantity != nil {
		most = ptr.To(quantity.Value())
	}
	confirmed := max(0, ptr.Deref(used.Requests, 0)-ptr.Deref(used.UnconfirmedRequests, 0)) // which the quota is about
	meters := []page.Limit{
		s.limit("Requests", confirmed, limits.RequestsPerMonth, limits, span),
		s.limit("Traffic", ptr.Deref(used.Bytes, 0), most, limits, span),
	}
	meters[1].Bytes = true
	if count := group.Status.Keys; count != nil {
		keys := page.Limit{Name: "Keys", Used: int64(ptr.Deref(count.Active, 0)), Most: int64(ptr.Deref(count.Limit, 0)), State: enough}
		if keys.Most > 0 && keys.Used >= keys.Most {
			keys.State = page.State{Text: "All used", Tone: page.Warn}
		}
		meters = append(meters, keys)
	}
	return meters
}

var enough = page.State{Text: "Enough", Tone: page.Good}

// limit is how much of a quota is used.
func (s *Sight) limit(name string, used int64, most *int64, limits *v1alpha1.Limits, span quotaledger.Span) page.Limit {
	limit := page.Limit{Name: name, State: enough, Used: used, Most: ptr.Deref(most, 0), Resets: span.End()}
	usedUp := most != nil && used >= *most
	if usedUp {
		limit.State = page.State{Text: "Used up: requests are refused", Tone: page.Bad}
		if limits.Overage == v1alpha1.OverageMeter {
			limit.State = page.State{Text: "Used up: more is metered", Tone: page.Warn}
		}
	}
	if usedUp && limits.Overage != v1alpha1.OverageMeter {
		return limit // nothing more is allowed
	}
	limit.Expected, limit.Reached = usagequery.Forecast(used, most, span.Begin(), span.End(), s.Now)
	if !limit.Reached.IsZero() {
		limit.State = page.State{Text: "On its way", Tone: page.Warn}
	}
	return limit
}
