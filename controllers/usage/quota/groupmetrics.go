package quota

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/scrape"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
)

// otherGroups is the label value of all groups without a series of their own. It is not an identity, because those have a
// slash.
const otherGroups = "other"

var (
	groupsDesc = prometheus.NewDesc("keyward_groups", "Number of Groups.", nil, nil)
	lowDesc    = prometheus.NewDesc("keyward_groups_quota_low",
		"Groups that have used at least 80 % of a quota of the running period, including those that have used all of it.", nil, nil)
	exceededDesc = prometheus.NewDesc("keyward_groups_quota_exceeded",
		"Groups that have used all of a quota of the running period.", nil, nil)
	unresolvedDesc = prometheus.NewDesc("keyward_groups_tier_unresolved", "Groups whose tier is not in the catalogue.", nil, nil)
	requestsDesc   = prometheus.NewDesc("keyward_group_requests",
		"Allowed requests of a Group in the running period of its quotas, as a rule this month (UTC), as far as it is persisted. "+
			"Groups beyond --metrics-groups are added up as other.",
		[]string{"group"}, nil)
	bytesDesc = prometheus.NewDesc("keyward_group_response_bytes",
		"Bytes of response bodies of a Group in the running period of its quotas, as a rule this month (UTC), as far as it is "+
			"persisted. Groups beyond --metrics-groups are added up as other.",
		[]string{"group"}, nil)
	requestLimitDesc = prometheus.NewDesc("keyward_group_requests_limit",
		"Requests that a Group may have in a period, if it has a limit.", []string{"group"}, nil)
	byteLimitDesc = prometheus.NewDesc("keyward_group_response_bytes_limit",
		"Bytes of response bodies that a Group may have in a period, if it has a limit.", []string{"group"}, nil)
)

// GroupMetrics exports the usage of Groups as metrics while this replica leads. They are read from the cache at each scrape,
// so that no deleted group is shown.
type GroupMetrics struct {
	// Reader is the cache.
	Reader client.Reader
	Clock  clock.PassiveClock
	// Totals, where set, has what is used sooner than the status shows it.
	Totals *totals.Board
	// Groups is how many groups have series of their own: those with the most requests.
	Groups int
}

var collector = scrape.NewCurrent((*GroupMetrics).scrape,
	groupsDesc, lowDesc, exceededDesc, unresolvedDesc, requestsDesc, bytesDesc, requestLimitDesc, byteLimitDesc)

// NeedLeaderElection is true: otherwise sums over replicas would count twice.
func (m *GroupMetrics) NeedLeaderElection() bool { return true }

// Start exports metrics until the context ends.
func (m *GroupMetrics) Start(ctx context.Context) error { return collector.Hold(ctx, m) }

func (m *GroupMetrics) scrape(all chan<- prometheus.Metric) {
	ctx := context.Background() // a scrape has no context; the cache answers at once
	groups, err := cache.CachedGroups(ctx, m.Reader)
	if err != nil {
		logf.FromContext(ctx).Error(err, "The metrics of Groups are missing")
		return
	}
	m.collect(groups, scrape.Gauges(all))
}

// latest returns a Group with the latest usage in its status.
func (m *GroupMetrics) latest(group *v1alpha1.Group) *v1alpha1.Group {
	if m.Totals == nil {
		return group
	}
	usage, _ := m.Totals.Of(client.ObjectKeyFromObject(group))
	if usage == nil {
		return group
	}
	latest := *group // it shares the rest with the cache
	latest.Status.Usage = usage
	return &latest
}

// groupUse is the exported usage of one group.
type groupUse struct {
	name            string
	requests, bytes uint64
	limits          Limits
}

func (m *GroupMetrics) collect(groups []v1alpha1.Group, emit func(desc *prometheus.Desc, value float64, labels ...string)) {
	now := m.Clock.Now()
	low, full, unresolved := 0, 0, 0
	uses := make([]groupUse, 0, len(groups))
	for i := range groups {
		group := m.latest(&groups[i])
		use := groupUse{name: group.Namespace + "/" + group.Name, limits: LimitsOf(group)}
		if usage := group.Status.Usage; usage != nil && usage.Period == use.limits.Schedule.At(now).String() {
			use.requests, use.bytes = uint64(max(0, ptr.Deref(usage.Requests, 0))), uint64(max(0, ptr.Deref(usage.Bytes, 0)))
			if len(reached(group, use.limits, lowPercent)) > 0 {
				low++
			}
			if len(reached(group, use.limits, fullPercent)) > 0 {
				full++
			}
		}
		if meta.IsStatusConditionFalse(group.Status.Conditions, v1alpha1.ConditionTierResolved) {
			unresolved++
		}
		uses = append(uses, use)
	}
	emit(groupsDesc, float64(len(groups)))
	emit(lowDesc, float64(low))
	emit(exceededDesc, float64(full))
	emit(unresolvedDesc, float64(unresolved))

	slices.SortFunc(uses, func(a, b groupUse) int {
		return cmp.Or(cmp.Compare(b.requests, a.requests), cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name))
	})
	most := min(m.Groups, len(uses))
	for _, use := range uses[:most] {
		use.emit(emit)
	}
	if most < len(uses) {
		rest := groupUse{name: otherGroups}
		for _, use := range uses[most:] {
			rest.requests, rest.bytes = rest.requests+use.requests, rest.bytes+use.bytes
		}
		rest.emit(emit)
	}
}

func (u *groupUse) emit(emit func(desc *prometheus.Desc, value float64, labels ...string)) {
	emit(requestsDesc, float64(u.requests), u.name)
	emit(bytesDesc, float64(u.bytes), u.name)
	if u.limits.Requests != nil {
		emit(requestLimitDesc, float64(*u.limits.Requests), u.name)
	}
	if u.limits.Bytes != nil {
		emit(byteLimitDesc, float64(*u.limits.Bytes), u.name)
	}
}

func init() { metrics.Registry.MustRegister(collector) }
