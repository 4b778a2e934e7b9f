package plugin

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// month creates a Group with a status that the test sets.
func month(t *testing.T, namespace, name string, change func(*v1alpha1.Group)) {
	t.Helper()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	group.Spec.DisplayName = "Acme Inc"
	group.Status.Keys = &v1alpha1.GroupKeys{Active: ptr.To[int32](3), Limit: ptr.To[int32](10)}
	group.Status.Limits = &v1alpha1.GroupLimits{Tier: "Pro", Limits: v1alpha1.Limits{
		RequestsPerMonth: ptr.To[int64](500_000), BytesPerMonth: ptr.To(resource.MustParse("100G")),
	}}
	group.Status.Usage = &v1alpha1.UsageTotals{
		Period: "2026-11", ResetsAt: metav1.NewTime(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)),
		UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](405_000), Bytes: ptr.To[int64](12_345_678_901)},
	}
	change(group)
	status := group.Status
	if err := admin.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	group.Status = status
	if err := admin.Status().Update(t.Context(), group); err != nil {
		t.Fatal(err)
	}
}

func counted(group string, requests int64, last *metav1.Time) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) {
		key.Spec.GroupRef.Name = group
		key.Status.LastUsedAt = last
		if requests > 0 {
			key.Status.Usage = &v1alpha1.KeyRequests{Period: "2026-11", Requests: &requests}
		}
	}
}

func TestUsage(t *testing.T) {
	namespace(t, "usage")
	namespace(t, "usage-shops")
	month(t, "usage", "busy", func(g *v1alpha1.Group) {
		g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll
		g.Status.Usage.UnconfirmedRequests = ptr.To[int64](12)
	})
	object(t, "usage", "web", counted("busy", 400_321, at(-10*time.Second)))
	object(t, "usage", "a-key-with-a-name-that-is-much-longer-than-its-column", func(key *v1alpha1.ApiKey) {
		counted("busy", 4_600, at(-3*time.Hour))(key)
		key.Status.KeyID = "k-long"
		key.Spec.Limits.RequestsPerMonth = ptr.To[int64](5_000)
		key.Status.Quota = &v1alpha1.KeyQuota{Period: "2026-11", ResetsAt: *at(9 * day), Limit: ptr.To[int64](5_000), Used: ptr.To[int64](4_590)}
	})
	object(t, "usage", "idle", counted("busy", 0, nil))
	object(t, "usage-shops", "shop", func(key *v1alpha1.ApiKey) {
		counted("busy", 79, at(-26*time.Hour))(key)
		key.Spec.GroupRef.Namespace = "usage"
		key.Status.State = v1alpha1.KeySuspended
	})
	object(t, "usage", "old", func(key *v1alpha1.ApiKey) {
		counted("busy", 9_999, at(-40*day))(key)
		key.Status.Usage.Period = "2026-10"
	})
	month(t, "usage", "over", func(g *v1alpha1.Group) {
		g.Status.Usage.Requests, g.Status.Usage.Bytes = ptr.To[int64](500_000), ptr.To[int64](100_000_000_000)
		g.Status.Keys.Active = ptr.To[int32](10)
	})
	month(t, "usage", "metered", func(g *v1alpha1.Group) {
		g.Status.Limits.Overage = v1alpha1.OverageMeter
		g.Status.Usage.Requests, g.Status.Usage.OverageRequests = ptr.To[int64](712_000), ptr.To[int64](212_000)
	})
	month(t, "usage", "unlimited", func(g *v1alpha1.Group) {
		g.Status.Keys.Limit, g.Status.Limits = nil, &v1alpha1.GroupLimits{Tier: "Enterprise"}
		g.Status.Usage.Requests, g.Status.Usage.Bytes = ptr.To[int64](1_234_567_890_123), ptr.To[int64](9_876_543_210_987_654)
	})
	month(t, "usage", "new", func(g *v1alpha1.Group) {
		g.Spec.Tier, g.Spec.State = "Gold", v1alpha1.GroupFrozen
		g.Status = v1alpha1.GroupStatus{Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionTierResolved, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonTierNotFound,
			Message: "the catalogue has no tier Gold", LastTransitionTime: *at(-day),
		}}}
	})
	month(t, "usage", "series", func(*v1alpha1.Group) {})
	series(t, "usage", "series")
	for _, name := range []string{"busy", "over", "metered", "unlimited", "new", "series"} {
		r := keyward(t, "", "usage", "-n", "usage", name)
		r.golden(t, "usage-"+name)
		for _, line := range strings.Split(r.out, "\n") {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: more than 80 columns: %s", name, line)
			}
		}
	}
	keyward(t, "", "usage", "-n", "usage", "busy", "-o", "wide").golden(t, "usage-wide")
	keyward(t, "", "usage", "-n", "usage", "busy", "-o", "json").golden(t, "usage-json")
	keyward(t, "", "usage", "-n", "usage", "over", "-o", "yaml").golden(t, "usage-yaml")
	keyward(t, "", "usage", "-n", "usage", "busy", "--limit", "1").expect(t, 0, "Left out: 4 with fewer requests")
	december := func() time.Time { return time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC) }
	keywardAt(t, december, "", "usage", "-n", "usage", "busy").golden(t, "usage-next-month")
}

// series creates the GroupUsage of a Group, which knows more than the Group's status.
func series(t *testing.T, namespace, name string) {
	t.Helper()
	usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	usage.Status.Months = []v1alpha1.MonthUsage{{
		Month: "2026-11", UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](405_017), Bytes: ptr.To[int64](12_345_700_000)},
		TrafficCounts: v1alpha1.TrafficCounts{
			Refusals: map[string]int64{"origin_denied": 1_204, "quota_exceeded": 17, "other": 2},
			Origins: []v1alpha1.OriginCount{
				{Origin: "https://shop.acme.com", Requests: ptr.To[int64](400_000)}, {Origin: "https://acme.com", Requests: ptr.To[int64](5_000)},
			},
		},
	}}
	for day := 21; day > 11; day-- {
		usage.Status.Days = append(usage.Status.Days, v1alpha1.DayUsage{
			Day: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), Requests: ptr.To(int64(day * 1000)),
			Bytes:         ptr.To(int64(day) * 1_000_000),
			TrafficCounts: v1alpha1.TrafficCounts{Refusals: map[string]int64{"origin_denied": int64(day), "other": 1}},
		})
	}
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
}

// TestUsageMistakes: the error is one line, without any argument that may be a key.
func TestUsageMistakes(t *testing.T) {
	key := mint(t, 9).Reveal()
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no name":          {[]string{"usage"}, ExitUsage, "accepts 1 arg"},
		"no such Group":    {[]string{"usage", "nobody"}, ExitError, `no Group "nobody"`},
		"a key":            {[]string{"usage", key}, ExitUsage, "kubectl keyward verify"},
		"half a key":       {[]string{"usage", key[:20]}, ExitUsage, "kubectl keyward verify"},
		"a negative limit": {[]string{"usage", "acme", "--limit", "-1"}, ExitUsage, "--limit"},
		"an output":        {[]string{"usage", "acme", "-o", "xml"}, ExitUsage, "wide"},
		"wide elsewhere":   {[]string{"status", "-o", "wide"}, ExitUsage, "json or yaml"},
		"no right":         {[]string{"usage", "acme", "--as", "nobody"}, ExitError, "ask an admin"},
	} {
		t.Run(name, func(t *testing.T) {
			r := keyward(t, "", test.args...).expect(t, test.code, test.want).lacks(t, key[:20])
			if r.out != "" || len(splitLines(r.err)) != 1 {
				t.Errorf("not one line on standard error: %q %q", r.out, r.err)
			}
		})
	}
}

// TestBar: it is full only if everything is used, and empty only if nothing is.
func TestBar(t *testing.T) {
	for percent, want := range map[int64]int{0: 0, 1: 1, 7: 1, 50: 7, 99: 14, 100: 15, 250: 15} {
		if got := strings.Count(bar(percent), "#"); got != want || len(bar(percent)) != barWidth+2 {
			t.Errorf("%d %%: %s", percent, bar(percent))
		}
	}
	for percent, want := range map[int64]string{0: "  0 %", 100: "100 %", 999: "999 %", 1000: ">999%"} {
		if got := percentage(percent); got != want {
			t.Errorf("%d: %q", percent, got)
		}
	}
}

// TestUsageColours: a bar has the colour of its percentage, and colours do not change the width of lines.
func TestUsageColours(t *testing.T) {
	for percent, want := range map[int64]style{79: green, 80: yellow, 99: yellow, 100: red} {
		v := &useView{Used: percent, Limit: ptr.To[int64](100), Percent: &percent}
		p := &page{colours: true}
		p.table([][]cell{use("Requests", v, numbers(false))})
		if !bytes.Contains(p.Bytes(), []byte("\x1b["+string(want)+"m[#")) {
			t.Errorf("%d %%: %q", percent, p)
		}
	}
}
