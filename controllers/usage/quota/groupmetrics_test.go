package quota_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
)

// listed is a cache with these Groups.
type listed struct {
	client.Reader

	groups []v1alpha1.Group
}

func (l *listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.GroupList).Items = l.groups
	return nil
}

func metered(name, period string, requests int64, change ...func(*v1alpha1.Group)) v1alpha1.Group {
	g := v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: name}}
	g.Spec.Limits.RequestsPerMonth = ptr.To[int64](100)
	g.Status.Usage = &v1alpha1.UsageTotals{
		Period: period, UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To(requests), Bytes: ptr.To(10 * requests)},
	}
	for _, f := range change {
		f(&g)
	}
	return g
}

// TestGroupMetrics: the groups with the most requests have series of their own, the others are added up; for this month, and
// while the replica leads.
func TestGroupMetrics(t *testing.T) {
	cache := &listed{groups: []v1alpha1.Group{
		metered("low", "2026-11", 80), metered("full", "2026-11", 100), metered("fine", "2026-11", 79),
		metered("last", "2026-10", 1000),
		metered("bytes", "2026-11", 3, func(g *v1alpha1.Group) {
			g.Spec.Limits = v1alpha1.Limits{BytesPerMonth: ptr.To(resource.MustParse("30"))}
			meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTierResolved,
				Status: metav1.ConditionFalse, Reason: "TierNotFound"})
		}),
		{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "idle"}},
	}}
	expect := func(m *quota.GroupMetrics, want string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- m.Start(ctx) }()
			synctest.Wait()
			if err := testutil.CollectAndCompare(quota.Collector, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
			if problems, err := testutil.CollectAndLint(quota.Collector); err != nil || len(problems) > 0 {
				t.Errorf("%v, %v", problems, err)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if n := testutil.CollectAndCount(quota.Collector); n != 0 {
				t.Errorf("%d metrics of a replica that does not lead", n)
			}
		})
	}
	clk := clocktesting.NewFakeClock(start)
	const head = `
# HELP keyward_groups Number of Groups.
# TYPE keyward_groups gauge
keyward_groups 6
# HELP keyward_groups_quota_exceeded Groups that have used all of a quota of the running period.
# TYPE keyward_groups_quota_exceeded gauge
keyward_groups_quota_exceeded 2
# HELP keyward_groups_quota_low Groups that have used at least 80 % of a quota of the running period, including those that have used all of it.
# TYPE keyward_groups_quota_low gauge
keyward_groups_quota_low 3
# HELP keyward_groups_tier_unresolved Groups whose tier is not in the catalogue.
# TYPE keyward_groups_tier_unresolved gauge
keyward_groups_tier_unresolved 1
# HELP keyward_group_requests Allowed requests of a Group in the running period of its quotas, as a rule this month (UTC), as far as it is persisted. Groups beyond --metrics-groups are added up as other.
# TYPE keyward_group_requests gauge
# HELP keyward_group_response_bytes Bytes of response bodies of a Group in the running period of its quotas, as a rule this month (UTC), as far as it is persisted. Groups beyond --metrics-groups are added up as other.
# TYPE keyward_group_response_bytes gauge
`
	expect(&quota.GroupMetrics{Reader: cache, Clock: clk, Groups: 2}, head+`
keyward_group_requests{group="other"} 82
keyward_group_requests{group="tenants/full"} 100
keyward_group_requests{group="tenants/low"} 80
keyward_group_response_bytes{group="other"} 820
keyward_group_response_bytes{group="tenants/full"} 1000
keyward_group_response_bytes{group="tenants/low"} 800
# HELP keyward_group_requests_limit Requests that a Group may have in a period, if it has a limit.
# TYPE keyward_group_requests_limit gauge
keyward_group_requests_limit{group="tenants/full"} 100
keyward_group_requests_limit{group="tenants/low"} 100
`)
	expect(&quota.GroupMetrics{Reader: cache, Clock: clk, Groups: 0}, head+`
keyward_group_requests{group="other"} 262
keyward_group_response_bytes{group="other"} 2620
`)
}

// BenchmarkGroupMetrics is a scrape of 10,000 groups.
func BenchmarkGroupMetrics(b *testing.B) {
	cache := &listed{}
	for i := range 10_000 {
		cache.groups = append(cache.groups, metered(fmt.Sprint(i), "2026-11", int64(i)))
	}
	defer quota.Collector.Set(&quota.GroupMetrics{Reader: cache, Clock: clocktesting.NewFakeClock(start), Groups: 100})()
	for b.Loop() {
		testutil.CollectAndCount(quota.Collector)
	}
}
