package notice_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/notice"
)

var november = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// using is a Group with a quota of requests in November, of which so many are used.
func using(quota, used int64) *v1alpha1.Group {
	group := &v1alpha1.Group{}
	group.Spec.Limits.RequestsPerMonth = ptr.To(quota)
	group.Status.Usage = &v1alpha1.UsageTotals{
		Period: "2026-11", ResetsAt: metav1.NewTime(november.AddDate(0, 1, 0)), UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To(used)},
	}
	return group
}

// notices shows what a Group has, such as 75 90 forecast.
func notices(group *v1alpha1.Group) string {
	var all []string
	for _, n := range notice.OfGroup(group) {
		switch data := n.Data.(type) {
		case groupevent.QuotaReached:
			all = append(all, fmt.Sprint(data.Percent))
		case groupevent.QuotaForecast:
			all = append(all, "forecast "+data.UsedUpAt)
		}
	}
	return strings.Join(all, " ")
}

func TestQuotas(t *testing.T) {
	for name, c := range map[string]struct {
		quota, used int64
		after       time.Duration
		want        string
	}{
		"nothing is used":           {1000, 0, 20 * day, ""},
		"less than 75 %":            {1000, 749, 29 * day, ""},
		"75 %":                      {1000, 750, day, "75"},
		"100 % at once":             {1000, 1000, day, "100"},
		"119 % at once":             {1000, 1199, day, "100"},
		"120 % at once":             {1000, 1200, day, "120"},
		"too early for a forecast":  {1000, 700, 3 * day, ""},
		"a forecast":                {1000, 200, 4 * day, "forecast 2026-11-21T00:00:00Z"},
		"a forecast that is enough": {1000, 133, 4 * day, ""},
		"no quota":                  {0, 200, 4 * day, ""},
		"the period is over":        {1000, 1000, 30 * day, ""},
		"a huge quota":              {1_000_000_000_000_000, 900_000_000_000_001, 20 * day, "90"},
	} {
		t.Run(name, func(t *testing.T) {
			group := using(c.quota, c.used)
			group.Status.QuotaNotices = notice.Quotas(group, november.Add(c.after))
			if got := notices(group); got != c.want {
				t.Errorf("got %q, expected %q", got, c.want)
			}
		})
	}
}

func TestUnconfirmedRequestsAreNoPartOfTheQuota(t *testing.T) {
	group := using(1000, 1100)
	group.Status.Usage.UnconfirmedRequests = ptr.To[int64](400)
	if got := notice.Quotas(group, november.Add(20*day)); len(got) != 1 || got[0].Percent != nil {
		t.Errorf("got %v", got)
	}
}

// TestQuotaThroughAPeriod follows a Group whose quota is raised.
func TestQuotaThroughAPeriod(t *testing.T) {
	group := using(1000, 0)
	for i, step := range []struct {
		quota, used int64
		want        string
	}{
		{1000, 300, "forecast 2026-11-17T16:00:00Z"},
		{1000, 800, "forecast 2026-11-17T16:00:00Z 75"},
		{1000, 850, "forecast 2026-11-17T16:00:00Z 75"},
		{1000, 1000, "forecast 2026-11-17T16:00:00Z 75 100"},
		{2000, 1000, "forecast 2026-11-19T00:00:00Z"}, // of the new quota; what was said about the old one is over
		{2000, 1500, "forecast 2026-11-19T00:00:00Z 75"},
		{1000, 1500, "120"},
		{3000, 1500, "forecast 2026-11-25T00:00:00Z"},
	} {
		group.Spec.Limits.RequestsPerMonth, group.Status.Usage.Requests = ptr.To(step.quota), ptr.To(step.used)
		group.Status.QuotaNotices = notice.Quotas(group, november.Add(time.Duration(5+i)*day))
		if got := notices(group); got != step.want {
			t.Fatalf("step %d: got %q, expected %q", i, got, step.want)
		}
	}
	group.Status.Usage.Period, group.Status.Usage.ResetsAt = "2026-12", metav1.NewTime(november.AddDate(0, 2, 0))
	group.Status.Usage.Requests = ptr.To[int64](1)
	if left := notice.Quotas(group, november.AddDate(0, 1, 0)); left != nil {
		t.Errorf("the next period begins with %v", left)
	}
}

func TestQuotaOfBytes(t *testing.T) {
	group := using(1000, 0)
	quota := resource.MustParse("900P")
	group.Spec.Limits.BytesPerMonth, group.Status.Usage.Bytes = &quota, ptr.To(quota.Value())
	group.Status.QuotaNotices = notice.Quotas(group, november.Add(day))
	due := notice.OfGroup(group)
	if len(due) != 1 || !strings.Contains(due[0].Cause, "bytesPerMonth/900000000000000000/100") {
		t.Fatalf("got %v", due)
	}
	// An event has no number that a reader of JSON would round.
	event, err := groupevent.New(groupevent.Group{Namespace: "a", Name: "b", UID: "c"}, due[0].Type, "id", due[0].At,
		groupevent.Subject{Kind: "Group", Name: "b"}, groupevent.Actor{}, due[0].Data)
	if err != nil || !strings.Contains(string(event.Data), "9007199254740991") {
		t.Errorf("%s: %v", event.Data, err)
	}
}

// TestQuotaNoticesAreGivenOnce: while the quota is the same and use only grows, what was noticed stays as it was, thresholds ascend, and a
// look without a change changes nothing.
func TestQuotaNoticesAreGivenOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		group, now, seen := using(rapid.Int64Range(1, 2000).Draw(t, "quota"), 0), november, []string{}
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 47).Draw(t, "hours")) * time.Hour)
			if !now.Before(group.Status.Usage.ResetsAt.Time) {
				break
			}
			*group.Status.Usage.Requests += rapid.Int64Range(0, 400).Draw(t, "requests")
			before := group.Status.QuotaNotices
			group.Status.QuotaNotices = notice.Quotas(group, now)
			if !cmp.Equal(group.Status.QuotaNotices, notice.Quotas(group, now.Add(time.Minute))) && len(group.Status.QuotaNotices) > 0 {
				t.Fatal("a second look found something else")
			}
			if len(group.Status.QuotaNotices) > len(before)+1 || len(before) > 0 && !cmp.Equal(before, group.Status.QuotaNotices[:len(before)]) {
				t.Fatalf("%v became %v", before, group.Status.QuotaNotices)
			}
			for _, n := range notice.OfGroup(group)[len(before):] {
				if slices.Contains(seen, n.Cause) {
					t.Fatalf("%s again", n.Cause)
				}
				seen = append(seen, n.Cause)
			}
		}
		last := int32(0)
		for _, n := range group.Status.QuotaNotices {
			if percent := ptr.Deref(n.Percent, 0); percent < last {
				t.Fatalf("not ascending: %v", group.Status.QuotaNotices)
			} else {
				last = percent
			}
		}
	})
}

// usageOf is what a Group used on the days that end with November 20, the latest last.
func usageOf(requests ...int64) *v1alpha1.GroupUsageStatus {
	status := &v1alpha1.GroupUsageStatus{}
	for i, n := range slices.Backward(requests) {
		name := november.AddDate(0, 0, 19-(len(requests)-1-i)).Format(time.DateOnly)
		if n > 0 {
			status.Days = append(status.Days, v1alpha1.DayUsage{Day: name, Requests: ptr.To(n)})
		}
	}
	return status
}

func TestOfUsage(t *testing.T) {
	const base = 1000
	fortnight := slices.Repeat([]int64{base}, 14)
	for name, c := range map[string]struct {
		usage *v1alpha1.GroupUsageStatus
		want  string
	}{
		"nothing":                     {usageOf(), ""},
		"as always":                   {usageOf(append(fortnight, base)...), ""},
		"4 times the median":          {usageOf(append(fortnight, 4*base)...), ""},
		"more than that":              {usageOf(append(fortnight, 4*base+1)...), "unusual/2026-11-20"},
		"yesterday":                   {usageOf(append([]int64{base}, append(fortnight, 4*base+1, base)...)...), "unusual/2026-11-19"},
		"too short a history":         {usageOf(append(fortnight[:13], 100*base)...), ""},
		"a day without use before":    {usageOf(append(append([]int64{base}, make([]int64, 13)...), base)...), "unusual/2026-11-20"},
		"too few to be unusual":       {usageOf(append(append([]int64{1}, make([]int64, 13)...), base-1)...), ""},
		"some busy days are no base":  {usageOf(append(append(slices.Repeat([]int64{base}, 8), slices.Repeat([]int64{9 * base}, 6)...), 5*base)...), "unusual/2026-11-20"},
		"as many busy as quiet days":  {usageOf(append(append(slices.Repeat([]int64{base}, 7), slices.Repeat([]int64{3 * base}, 7)...), 8*base)...), ""},
		"more than they have between": {usageOf(append(append(slices.Repeat([]int64{base}, 7), slices.Repeat([]int64{3 * base}, 7)...), 8*base+1)...), "unusual/2026-11-20"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, n := range notice.OfUsage(c.usage, november.Add(19*day+13*time.Hour)) {
				got += n.Cause
				if !n.At.Equal(november.Add(19*day)) && !n.At.Equal(november.Add(18*day)) {
					t.Errorf("its time is %v", n.At)
				}
			}
			if got != c.want {
				t.Errorf("got %q, expected %q", got, c.want)
			}
		})
	}
}

// TestUnusualDaysAreNoticedOnce: a day that becomes busier and busier has one cause.
func TestUnusualDaysAreNoticedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.SliceOfN(rapid.Int64Range(0, 5000), 20, 20).Draw(t, "days")
		causes := map[string]bool{}
		for range 5 {
			days[19] += rapid.Int64Range(0, 1<<60).Draw(t, "more")
			days[19] = min(days[19], 1<<61)
			for _, n := range notice.OfUsage(usageOf(days...), november.Add(19*day+time.Hour)) {
				causes[n.Cause] = true
			}
		}
		if len(causes) > 2 {
			t.Fatalf("%v", causes)
		}
	})
}

// TestKeyQuotaThroughAPeriod follows a key whose quota is raised, and lowered.
func TestKeyQuotaThroughAPeriod(t *testing.T) {
	key := newKey(0, func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ExpiresAt = nil })
	causes := map[string]notice.Notice{}
	for i, step := range []struct {
		period      string
		limit, used int64
		percent     int32
		found       int // causes so far
	}{
		{"2026-11", 1000, 0, 0, 0},
		{"2026-11", 1000, 749, 0, 0},
		{"2026-11", 1000, 750, 75, 1},
		{"2026-11", 1000, 899, 75, 1},
		{"2026-11", 1000, 1000, 100, 2}, // 90 % are passed with it
		{"2026-11", 2000, 1000, 0, 2},
		{"2026-11", 2000, 1500, 75, 3},
		{"2026-11", 1000, 1500, 120, 4},
		{"2026-11", 0, 1500, 0, 4},
		{"2026-12", 1000, 800, 75, 5},
		{"2026-12", 1_000_000_000_000_000_000, 900_000_000_000_000_000, 90, 6}, // no product overflows
	} {
		now := november.Add(time.Duration(i)*time.Hour + time.Millisecond)
		is := &v1alpha1.KeyQuota{Period: step.period, Limit: ptr.To(step.limit), Used: ptr.To(step.used)}
		is.Notice = notice.KeyQuota(key.Status.Quota, is, now)
		key.Status.Quota = is
		if n := is.Notice; n == nil && step.percent > 0 || n != nil && n.Percent != step.percent {
			t.Errorf("step %d: %+v, expected %d %%", i, n, step.percent)
		}
		if again := notice.KeyQuota(is, is, now.Add(time.Hour)); !cmp.Equal(again, is.Notice) {
			t.Errorf("step %d: another look finds %+v", i, again)
		}
		due, _ := notice.OfKey(key, now)
		for _, n := range due {
			if was, known := causes[n.Cause]; known && !cmp.Equal(was, n) {
				t.Errorf("step %d: %v was %v", i, n, was)
			}
			causes[n.Cause] = n
		}
		if len(causes) != step.found {
			t.Errorf("step %d: %d causes: %v", i, len(causes), causes)
		}
	}
	want := groupevent.KeyQuotaReached{Period: "2026-11", Quota: 1000, Used: 1000, Percent: 100}
	if got := causes["quota/2026-11/1000/100"]; got.Type != groupevent.TypeKeyQuota || got.Data != want || got.At != november.Add(4*time.Hour) {
		t.Errorf("%v", got)
	}
}
