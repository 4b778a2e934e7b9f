package plugin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// usageView is what is shown of a Group's running period, in text and with -o.
type usageView struct {
	Namespace string              `json:"namespace"`
	Name      string              `json:"name"`
	Tier      string              `json:"tier,omitempty"`
	State     v1alpha1.GroupState `json:"state"`
	// Period is the month (UTC), or the first day of a period that does not begin with one, DaysLeft the days of it that have not
	// begun.
	Period   string      `json:"period"`
	ResetsAt metav1.Time `json:"resetsAt"`
	DaysLeft int         `json:"daysLeft"`

	Overage   v1alpha1.Overage `json:"overage"`
	Requests  useView          `json:"requests"`
	Bytes     useView          `json:"bytes"`
	Keys      useView          `json:"keys"`
	Attention []attention      `json:"attention,omitempty"`

	// UnconfirmedRequests are on top of the quota.
	UnconfirmedRequests int64        `json:"unconfirmedRequests,omitempty"`
	ByKey               []keyUseView `json:"byKey"`

	// Days, the latest first, and the refused requests and the origins of the month, are those of the GroupUsage.
	Days     []v1alpha1.DayUsage    `json:"days,omitempty"`
	Public   int64                  `json:"publicRequests,omitempty"` // without a key
	Refusals map[string]int64       `json:"refusals,omitempty"`
	Origins  []v1alpha1.OriginCount `json:"origins,omitempty"`
}

// useView is one limit, and what is used of it.
type useView struct {
	Used int64 `json:"used"`
	// Limit and Percent are absent where there is no limit.
	Limit   *int64 `json:"limit,omitempty"`
	Percent *int64 `json:"percent,omitempty"`
	// Forecast is for the end of the period, and UsedUpAt when the limit will be reached by it.
	Forecast int64        `json:"forecast,omitempty"`
	UsedUpAt *metav1.Time `json:"usedUpAt,omitempty"`
	// Overage went beyond the limit, and is metered.
	Overage int64 `json:"overage,omitempty"`
}

type keyUseView struct {
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	KeyID      string            `json:"keyId,omitempty"`
	State      v1alpha1.KeyState `json:"state"`
	Preview    string            `json:"preview,omitempty"`
	Requests   int64             `json:"requests"`
	LastUsedAt *metav1.Time      `json:"lastUsedAt,omitempty"`
	// Quota is what is used of the quota of the key, if it has one.
	Quota *useView `json:"quota,omitempty"`
}

func (a *app) usage() *cobra.Command {
	limit, over, hours := 0, &overTime{}, &hourly{}
	cmd := a.withGroup(&cobra.Command{
		Use:   "usage GROUP",
		Short: "Show a Group's month at a glance, or its use over time: by day, hour, month, code, origin or key",
		Long: `Show a Group's month at a glance: what is used of its limits, and by which keys. With --days, --month or --by: its use over time.

Months are calendar months in UTC, unless the quotas of the Group are reset on another day. The forecast is linear: it extends the use
until now to the whole period. What is shown of keys may be some minutes old. Numbers of origins are approximate: of a day, only the
busiest three are kept, of a month ten.

With --hours: its use by hour, where the usage store is Redis or Valkey. The manager is asked at --manager, with the token of your kubeconfig,
or that of --token-file.`,
		Example: `  kubectl keyward -n acme usage acme
  kubectl keyward -n acme usage acme -o wide
  kubectl keyward -n acme usage acme --days 30
  kubectl keyward -n acme usage acme --by origin --month 2026-10
  kubectl keyward -n acme usage acme --by month -o csv
  kubectl keyward -n acme usage acme --hours 24 --manager https://keyward-usage.keyward-system.svc:9448 --manager-ca-file ca.crt`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef("--limit: write how many keys to show, or 0 for all")
			}
			if err := hours.check(cmd, a.output); err != nil || hours.wanted {
				return err
			}
			return over.check(cmd, a.output, a.now())
		},
	}, func(ctx context.Context, s *session, group *v1alpha1.Group) error {
		if hours.wanted {
			return a.usageByHour(ctx, s, group, hours)
		}
		if over.wanted {
			return a.usageOverTime(ctx, s, group, over, limit)
		}
		keys, err := a.keysOf(ctx, s, group)
		if err != nil {
			return err
		}
		recorded, err := s.usage(ctx, group)
		if err != nil {
			return err
		}
		view := a.usageOf(group, recorded, keys)
		wide := a.output == outputWide
		return a.print(view, func(p *page) { p.usage(&view, limit, wide) })
	})
	cmd.Flags().IntVar(&limit, "limit", 20, "how many keys, codes or origins to show in text, those with the most requests; 0 is all")
	over.addFlags(cmd)
	hours.addFlags(cmd)
	return cmd
}

// group reads the Group of that name.
func (s *session) group(ctx context.Context, name string) (*v1alpha1.Group, error) {
	group := &v1alpha1.Group{}
	return group, s.read(ctx, name, group, "Group", "kubectl get groups.keyward.dev -A")
}

// usage reads the GroupUsage of a Group: an empty one if there is none yet, or the user may not read it.
func (s *session) usage(ctx context.Context, group *v1alpha1.Group) (*v1alpha1.GroupUsage, error) {
	usage := &v1alpha1.GroupUsage{}
	err := s.Get(ctx, client.ObjectKeyFromObject(group), usage)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		return &v1alpha1.GroupUsage{}, nil
	}
	return usage, err
}

// keysOf lists the ApiKeys of a Group that the user may see.
func (a *app) keysOf(ctx context.Context, s *session, group *v1alpha1.Group) ([]v1alpha1.ApiKey, error) {
	from := group.Spec.AllowedNamespaces.From
	everywhere := from != "" && from != v1alpha1.NamespacesFromSame
	keys, err := s.keys(ctx, everywhere)
	if everywhere && apierrors.IsForbidden(err) {
		a.narrate("! Keys of other namespaces are left out: you may not list them.")
		keys, err = s.keys(ctx, false)
	}
	identity := group.Namespace + "/" + group.Name
	return slices.DeleteFunc(keys, func(key v1alpha1.ApiKey) bool { return groupOf(&key) != identity }), err
}

// usageOf returns what is shown.
func (a *app) usageOf(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage, keys []v1alpha1.ApiKey) usageView {
	now, limits := a.now(), group.Spec.Limits
	v := usageView{Namespace: group.Namespace, Name: group.Name, Tier: group.Spec.Tier, State: group.Spec.State, ByKey: []keyUseView{}}
	if in := group.Status.Limits; in != nil {
		limits, v.Tier = in.Limits, cmp.Or(in.Tier, v.Tier)
	}
	v.Overage = cmp.Or(limits.Overage, v1alpha1.OverageBlock)
	shown := ptr.Deref(group.Status.Usage, v1alpha1.UsageTotals{})
	latest := v1alpha1.MonthUsage{Month: shown.Period, UsageCounts: shown.UsageCounts}
	if months := recorded.Status.Months; len(months) > 0 && months[0].Month >= latest.Month {
		latest = months[0] // it is written before the status of the Group
	}
	span := usagequery.Running(tier.Schedule(group), latest.Month, now)
	period, begin, end := span.String(), span.Begin(), span.End()
	used := v1alpha1.UsageCounts{}
	if latest.Month == period {
		used, v.Refusals, v.Origins = latest.UsageCounts, latest.Refusals, latest.Origins
		v.Public = ptr.Deref(latest.PublicRequests, 0)
	}
	v.Days = recorded.Status.Days
	const day = 24 * 60 * 60
	v.Period, v.ResetsAt, v.DaysLeft = period, metav1.NewTime(end), int(end.Sub(now).Seconds())/day
	v.UnconfirmedRequests = ptr.Deref(used.UnconfirmedRequests, 0)
	var bytes *int64
	if quantity := limits.BytesPerMonth; quantity != nil {
		bytes = ptr.To(quantity.Value())
	}
	confirmed := ptr.To(ptr.Deref(used.Requests, 0) - v.UnconfirmedRequests) // which the quota is about
	v.Requests = useOf(confirmed, limits.RequestsPerMonth, used.OverageRequests)
	v.Bytes = useOf(used.Bytes, bytes, used.OverageBytes)
	for _, use := range []*useView{&v.Requests, &v.Bytes} {
		if use.Limit != nil && use.Used >= *use.Limit && v.Overage == v1alpha1.OverageBlock {
			continue // nothing more is allowed
		}
		total, usedUp := usagequery.Forecast(use.Used, use.Limit, begin, end, now)
		if use.Forecast = total; !usedUp.IsZero() {
			use.UsedUpAt = ptr.To(metav1.NewTime(usedUp))
		}
	}
	if count := group.Status.Keys; count != nil {
		v.Keys = useOf(widen(count.Active), widen(count.Limit), nil)
	}
	v.attend(group)
	for i := range keys {
		v.ByKey = append(v.ByKey, keyUseOf(&keys[i], span))
	}
	slices.SortFunc(v.ByKey, func(a, b keyUseView) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return v
}

func useOf(used, limit, overage *int64) useView {
	v := useView{Used: ptr.Deref(used, 0), Limit: limit, Overage: ptr.Deref(overage, 0)}
	const whole = 100
	if limit != nil {
		percent := int64(whole)
		if *limit > 0 {
			percent = int64(float64(v.Used) / float64(*limit) * whole)
		}
		v.Percent = &percent
	}
	return v
}

func widen(n *int32) *int64 {
	if n == nil {
		return nil
	}
	return ptr.To(int64(*n))
}

func keyUseOf(key *v1alpha1.ApiKey, period quotaledger.Span) keyUseView {
	v := keyUseView{
		Namespace: key.Namespace, Name: key.Name, KeyID: key.Status.KeyID, State: key.Status.State,
		Preview: key.Status.Preview, LastUsedAt: key.Status.LastUsedAt,
	}
	if usage := key.Status.Usage; usage != nil {
		v.Requests = keyRequests(usage, period)
	}
	if limit := key.Spec.Limits.RequestsPerMonth; limit != nil {
		used := (*int64)(nil)
		if quota := key.Status.Quota; quota != nil && quota.Period == period.String() {
			used = quota.Used
		}
		v.Quota = ptr.To(useOf(used, limit, nil))
	}
	return v
}

// keyRequests returns the requests of a key in a period. Keys are counted by calendar month, and by day for as long as a period
// lasts at most.
func keyRequests(usage *v1alpha1.KeyRequests, period quotaledger.Span) int64 {
	month := quotaledger.MonthOf(period.Begin())
	if period.Begin().Equal(month.Begin()) && period.End().Equal(month.End()) {
		if usage.Period == month.String() {
			return ptr.Deref(usage.Requests, 0)
		}
		return 0
	}
	if usage.Days == nil {
		return 0
	}
	last, err := time.Parse(time.DateOnly, usage.Days.Last)
	if err != nil {
		return 0
	}
	sum := int64(0)
	for i, requests := range usage.Days.Requests {
		if period.Has(last.AddDate(0, 0, -i)) {
			sum += requests
		}
	}
	return sum
}

// attend adds what somebody should know about, the worst first.
func (v *usageView) attend(group *v1alpha1.Group) {
	add := func(urgent bool, reason, format string, args ...any) {
		v.Attention = append(v.Attention, attention{Urgent: urgent, Reason: reason, Message: fmt.Sprintf(format, args...)})
	}
	if v.State == v1alpha1.GroupFrozen || v.State == v1alpha1.GroupSuspended {
		add(true, string(v.State), "all keys of the Group are refused")
	}
	for _, of := range []struct {
		name string
		use  *useView
	}{{"requests", &v.Requests}, {"bytes", &v.Bytes}} {
		switch use := of.use; {
		case use.Limit != nil && use.Used >= *use.Limit && v.Overage == v1alpha1.OverageMeter:
			add(false, "QuotaExceeded", "all %s of the period are used; more are metered", of.name)
		case use.Limit != nil && use.Used >= *use.Limit:
			add(true, "QuotaExceeded", "all %s of the period are used: 402 until it ends", of.name)
		case use.UsedUpAt != nil:
			add(false, "Forecast", "at this pace, all %s are used on %s", of.name, use.UsedUpAt.UTC().Format("Monday, January 2"))
		}
	}
	if c := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionTierResolved); c != nil &&
		c.Status == metav1.ConditionFalse {
		add(false, c.Reason, "%s", c.Message)
	}
	if keys := v.Keys; keys.Limit != nil && keys.Used >= *keys.Limit {
		add(false, v1alpha1.ReasonKeyLimitReached, "no key slot is left for another ApiKey")
	}
}
