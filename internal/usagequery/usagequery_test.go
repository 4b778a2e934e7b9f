package usagequery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// used returns what the manager has recorded of a Group that was used from a day on, once each day.
func used(since time.Time, requests uint64) *v1alpha1.GroupUsageStatus {
	status, totals := &v1alpha1.GroupUsageStatus{}, map[quotaledger.Span]usageseries.Totals{}
	for at := since; !at.After(now); at = at.AddDate(0, 0, 1) {
		month := quotaledger.Schedule{}.At(at)
		is := totals[month]
		is.Requests += requests
		is.Bytes += 10 * requests
		totals[month] = is
		usageseries.Record(status, at, month, is)
		usageseries.RecordTraffic(status, at, month, usageseries.Traffic{
			Refusals: map[string]uint64{"origin_denied": 2, "rate_limited": 1},
			Origins:  map[string]uint64{"https://shop.acme.com": requests - 1, "https://acme.com": 1},
			Public:   3,
		})
	}
	usageseries.Touch(status, now)
	return status
}

func of(status *v1alpha1.GroupUsageStatus) usagequery.Usage {
	return usagequery.Usage{Group: "acme/acme", Status: status}
}

func parse(t *testing.T, by, from, to string) usagequery.Query {
	t.Helper()
	q, err := usagequery.Parse(by, from, to, now)
	if err != nil {
		t.Fatalf("%s %s %s: %v", by, from, to, err)
	}
	return q
}

func TestRanges(t *testing.T) {
	status := used(now.AddDate(-1, -3, 0), 10)
	for name, c := range map[string]struct {
		by, from, to string
		begins, ends string
		points       int
		requests     int64
	}{
		"nothing":                     {"", "", "", "2026-10-29", "2026-11-27", 30, 300},
		"days":                        {"day", "2026-11-01", "2026-11-03", "2026-11-01", "2026-11-03", 3, 30},
		"one day":                     {"day", "2026-11-03", "2026-11-03", "2026-11-03", "2026-11-03", 1, 10},
		"the days of a month":         {"day", "2026-10", "2026-10", "2026-10-01", "2026-10-31", 31, 310},
		"those of this month":         {"day", "2026-11", "", "2026-11-01", "2026-11-27", 27, 270},
		"days until one":              {"day", "", "2026-11-10", "2026-10-12", "2026-11-10", 30, 300},
		"days from one on":            {"day", "2026-11-20", "", "2026-11-20", "2026-11-27", 8, 80},
		"more days than are kept":     {"day", "2020-01-01", "", "2026-09-27", "2026-11-27", 62, 620},
		"days to come":                {"day", "2026-11-26", "2027-12-31", "2026-11-26", "2026-11-27", 2, 20},
		"all months":                  {"month", "", "", "2025-11", "2026-11", 13, 3920},
		"months":                      {"month", "2026-09", "2026-10", "2026-09", "2026-10", 2, 610},
		"more months than are kept":   {"month", "2020-01", "2025-12", "2025-11", "2025-12", 2, 610},
		"origins of this month":       {"origin", "", "", "2026-11", "2026-11", 2, 270},
		"origins of the last":         {"origin", "2026-10", "2026-10", "2026-10", "2026-10", 2, 310},
		"origins of days":             {"origin", "2026-11-01", "2026-11-02", "2026-11-01", "2026-11-02", 2, 20},
		"codes of this month":         {"code", "", "", "2026-11", "2026-11", 2, 0},
		"codes of months":             {"code", "2026-09", "2026-10", "2026-09", "2026-10", 2, 0},
		"codes of days until a month": {"code", "", "2026-10", "2026-10", "2026-10", 2, 0},
	} {
		s := parse(t, c.by, c.from, c.to).Series(of(status))
		if s.From != c.begins || s.To != c.ends || len(s.Points) != c.points || s.Total.Requests != c.requests {
			t.Errorf("%s: %s to %s, %d points, %+v", name, s.From, s.To, len(s.Points), s.Total)
		}
		if s.UpdatedAt == nil || !s.UpdatedAt.Equal(now) || s.Group != "acme/acme" || s.Approximate != (c.by == "origin") {
			t.Errorf("%s: %+v", name, s)
		}
	}
	public := parse(t, "day", "2026-11-01", "2026-11-03").Series(of(status))
	if public.Points[0].PublicRequests != 3 || public.Total.PublicRequests != 9 || public.Total.Requests != 30 {
		t.Errorf("%+v", public)
	}
	codes := parse(t, "code", "2026-09", "2026-10").Series(of(status))
	if p := codes.Points[0]; p.Code != "origin_denied" || p.Refused != 2*61 || codes.Total.Refused != 3*61 {
		t.Errorf("%+v", codes)
	}
	origins := parse(t, "origin", "2026-10", "2026-10").Series(of(status))
	if p := origins.Points[0]; p.Origin != "https://shop.acme.com" || p.Requests != 9*31 {
		t.Errorf("%+v", origins)
	}
}

// TestMistakes: an error names the parameter, and says what to write.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ by, from, to, want string }{
		{"hour", "", "", "by: write one of day, month, code, origin"},
		{"day", "yesterday", "", "from: write a day such as 2026-11-27"},
		{"day", "", "2026-13", "to: write a day"},
		{"day", "2026-02-30", "", "from: write a day"},
		{"day", "2026-11-1\n", "", "from: write a day"},
		{"code", "2026-10", "2026-11-01", "both as days"},
		{"month", "2026-11-01", "2026-11-02", "by=month takes months"},
		{"day", "2026-11-02", "2026-11-01", "from is after to"},
		{"day", "2026-11-28", "", "not begun yet"},
		{"day", "2026-12", "2026-12", "not begun yet"},
		{"day", "2026-01-01", "2026-02-01", "the earliest is 2026-09-27"},
		{"month", "2020-01", "2025-10", "the last 13 months are kept; the earliest is 2025-11-01"},
	} {
		if _, err := usagequery.Parse(c.by, c.from, c.to, now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestPointsAddUp: for any range, there is a point for each day, the total is the sum of the points, and the days of a month that is kept
// whole add up to what the month has.
func TestPointsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status := used(now.AddDate(0, 0, -rapid.IntRange(0, 100).Draw(t, "since")), rapid.Uint64Range(1, 1000).Draw(t, "requests"))
		from := now.AddDate(0, 0, -rapid.IntRange(0, 61).Draw(t, "from"))
		to := from.AddDate(0, 0, rapid.IntRange(0, 61).Draw(t, "days"))
		q, err := usagequery.Parse("day", from.Format(time.DateOnly), to.Format(time.DateOnly), now)
		if err != nil {
			t.Fatal(err)
		}
		s, at, sum := q.Series(of(status)), from, int64(0)
		for _, p := range s.Points {
			if p.Day != at.Format(time.DateOnly) {
				t.Fatalf("%s is not %s", p.Day, at)
			}
			at, sum = at.AddDate(0, 0, 1), sum+p.Requests
		}
		if sum != s.Total.Requests || len(s.Points) == 0 || s.From != s.Points[0].Day || s.To != s.Points[len(s.Points)-1].Day {
			t.Fatalf("%+v", s)
		}
		days, err := usagequery.Parse("day", "2026-10", "2026-10", now)
		if err != nil {
			t.Fatal(err)
		}
		months, err := usagequery.Parse("month", "2026-10", "2026-10", now)
		if err != nil {
			t.Fatal(err)
		}
		if byDay, byMonth := days.Series(of(status)).Total, months.Series(of(status)).Total; byDay != byMonth {
			t.Fatalf("%+v, the month has %+v", byDay, byMonth)
		}
	})
}

// TestKeys: the days of a key, and its requests in a range.
func TestKeys(t *testing.T) {
	key := &v1alpha1.ApiKey{Status: v1alpha1.ApiKeyStatus{KeyID: "k1", Usage: &v1alpha1.KeyRequests{Period: "2026-11", Requests: ptr.To[int64](500)}}}
	for at := now.AddDate(0, 0, -40); !at.After(now.AddDate(0, 0, -2)); at = at.AddDate(0, 0, 1) {
		key.Status.Usage.Days = usageseries.AddToDay(key.Status.Usage.Days, at, 10)
	}
	s := parse(t, "day", "2026-09-27", "").KeySeries("acme/acme", key)
	if len(s.Points) != 33 || s.From != "2026-10-26" || s.Key != "k1" || s.Total.Requests != 310 || s.Points[32].Requests != 0 {
		t.Errorf("%+v", s)
	}
	if s := parse(t, "day", "2026-10-01", "2026-10-25").KeySeries("acme/acme", key); len(s.Points) != 0 || s.From != "2026-10-01" {
		t.Errorf("days that are not kept: %+v", s)
	}
	if s := parse(t, "day", "2026-10-01", "").KeySeries("acme/acme", &v1alpha1.ApiKey{}); len(s.Points) != 31 || s.Total.Requests != 0 {
		t.Errorf("a key that was not used: %+v", s)
	}
	for name, c := range map[string]struct {
		from, to string
		requests int64
		whole    bool
	}{
		"the current month":  {"2026-11", "2026-11", 500, true}, // what the status says, which is more than its days
		"days":               {"2026-11-20", "2026-11-26", 60, true},
		"more than is kept":  {"2026-10-01", "2026-11-27", 310, false},
		"an earlier month":   {"2026-10", "2026-10", 60, false},
		"days without a use": {"2026-11-26", "2026-11-27", 0, true},
	} {
		requests, whole := parse(t, "origin", c.from, c.to).KeyRequests(key)
		if requests != c.requests || whole != c.whole {
			t.Errorf("%s: %d, %v", name, requests, whole)
		}
	}
	for _, odd := range []*v1alpha1.KeyRequests{nil, {}, {Days: &v1alpha1.KeyDays{Last: "never", Requests: []int64{1}}}} {
		if days := usagequery.KeyDays(&v1alpha1.ApiKey{Status: v1alpha1.ApiKeyStatus{Usage: odd}}); len(days) != 0 {
			t.Errorf("%v of %v", days, odd)
		}
	}
}

// TestOwn: the usage of a Group that was deleted is not that of the next one with its name.
func TestOwn(t *testing.T) {
	usage := &v1alpha1.GroupUsage{Status: v1alpha1.GroupUsageStatus{GroupUID: "a", Days: []v1alpha1.DayUsage{{Day: "2026-11-27"}}}}
	for uid, days := range map[string]int{"a": 1, "b": 0} {
		group := &v1alpha1.Group{}
		group.UID = "a"
		if uid == "b" {
			group.UID = "b"
		}
		if got := usagequery.Of(group, usage).Status; len(got.Days) != days {
			t.Errorf("%s: %+v", uid, got)
		}
	}
}

// TestEditedStatus: somebody may have edited a status, or restored half of it.
func TestEditedStatus(t *testing.T) {
	status := &v1alpha1.GroupUsageStatus{
		UpdatedAt: &metav1.Time{Time: now},
		Months:    []v1alpha1.MonthUsage{{Month: "2026-10", UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](-5)}}, {Month: "November"}, {Month: "2026-11"}},
		Days: []v1alpha1.DayUsage{{Day: "2026-11-27", TrafficCounts: v1alpha1.TrafficCounts{
			Refusals: map[string]int64{"a": -1, "b": 2}, Origins: []v1alpha1.OriginCount{{Origin: "https://a.example"}},
		}}},
	}
	names := []string{}
	edited := of(status)
	for _, p := range edited.Periods() {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"2026-11", "2026-10"}) {
		t.Errorf("%v", names)
	}
	for _, by := range usagequery.By {
		for _, p := range parse(t, by, "", "").Series(of(status)).Points {
			if p.Requests < 0 || p.Refused < 0 {
				t.Errorf("%s: %+v", by, p)
			}
		}
	}
}

// FuzzParse: a query is refused, or its points are within its range, and not more than are kept.
func FuzzParse(f *testing.F) {
	for _, by := range append(slices.Clone(usagequery.By), "", "hour") {
		for _, at := range []string{"", "2026-11", "2026-11-27", "0001-01-01", "9999-12", "2026-02-29"} {
			f.Add(by, at, at)
			f.Add(by, "2026-10", at)
			f.Add(by, at, "2026-11-01")
		}
	}
	status := used(now.AddDate(0, -2, 0), 3)
	f.Fuzz(func(t *testing.T, by, from, to string) {
		q, err := usagequery.Parse(by, from, to, now)
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\n\x00") || len(text) > 200 {
				t.Errorf("%q", text)
			}
			return
		}
		s := q.Series(of(status))
		if len(s.Points) > 62 || s.From > s.To || s.To > now.Format(time.DateOnly) {
			t.Errorf("%q %q %q: %+v", by, from, to, s)
		}
		for _, p := range s.Points {
			if at := p.Day + p.Month; at != "" && (at < s.From || at > s.To) {
				t.Errorf("%s is not from %s to %s", at, s.From, s.To)
			}
		}
	})
}

func ExampleParse() {
	q, err := usagequery.Parse(adminv1.ByMonth, "2026-10", "", now)
	if err != nil {
		panic(err)
	}
	for _, p := range q.Series(of(used(now.AddDate(0, 0, -30), 10))).Points {
		fmt.Println(p.Month, p.Requests)
	}
	// Output:
	// 2026-10 40
	// 2026-11 270
}
