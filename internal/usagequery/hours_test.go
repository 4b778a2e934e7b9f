package usagequery_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/usagequery"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// allHours has a request and ten bytes in each hour, until some that have not begun.
func allHours() map[usageseries.Hour]usageseries.HourUse {
	used := map[usageseries.Hour]usageseries.HourUse{}
	for hour := usageseries.HourOf(now) - 300; hour < usageseries.HourOf(now)+30; hour++ {
		used[hour] = usageseries.HourUse{Requests: 1, Bytes: 10}
	}
	return used
}

func TestHourRanges(t *testing.T) {
	for name, c := range map[string]struct {
		from, to     string
		begins, ends string
		points       int
	}{
		"nothing":                 {"", "", "2026-11-26T13:00Z", "2026-11-27T12:00Z", 24},
		"hours":                   {"2026-11-27T03:00Z", "2026-11-27T05:00Z", "2026-11-27T03:00Z", "2026-11-27T05:00Z", 3},
		"one hour":                {"2026-11-27T03:00Z", "2026-11-27T03:00Z", "2026-11-27T03:00Z", "2026-11-27T03:00Z", 1},
		"a day":                   {"2026-11-25", "2026-11-25", "2026-11-25T00:00Z", "2026-11-25T23:00Z", 24},
		"today":                   {"2026-11-27", "2026-11-27", "2026-11-27T00:00Z", "2026-11-27T12:00Z", 13},
		"hours until one":         {"", "2026-11-26T12:00Z", "2026-11-25T13:00Z", "2026-11-26T12:00Z", 24},
		"hours from one on":       {"2026-11-27T10:00Z", "", "2026-11-27T10:00Z", "2026-11-27T12:00Z", 3},
		"from a day on":           {"2026-11-26", "", "2026-11-26T00:00Z", "2026-11-27T12:00Z", 37},
		"more than are kept":      {"2020-01-01", "", "2026-11-19T13:00Z", "2026-11-27T12:00Z", 192},
		"hours to come":           {"2026-11-27T12:00Z", "2027-11-27T12:00Z", "2026-11-27T12:00Z", "2026-11-27T12:00Z", 1},
		"until the earliest kept": {"", "2026-11-19T13:00Z", "2026-11-19T13:00Z", "2026-11-19T13:00Z", 1},
	} {
		q, err := usagequery.ParseHours(c.from, c.to, now.Add(59*time.Minute))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := q.Series("acme/acme", time.Time{}, allHours())
		if s.From != c.begins || s.To != c.ends || len(s.Points) != c.points || s.Total.Requests != int64(c.points) || s.Total.Bytes != 10*int64(c.points) ||
			s.By != "hour" || s.Group != "acme/acme" {
			t.Errorf("%s: %s to %s, %d points, %+v", name, s.From, s.To, len(s.Points), s.Total)
		}
	}
}

// TestHourMistakes: an error names the parameter, and says what to write.
func TestHourMistakes(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"yesterday", "", "from: write an hour such as 2026-11-27T13:00Z"},
		{"", "2026-11-27T24:00Z", "to: write an hour"},
		{"2026-11-27T13:30Z", "", "from: write an hour"},
		{"2026-11-27T13:00:00Z", "", "from: write an hour"},
		{"2026-11-27T13:00+", "", "from: write an hour"},
		{"2026-11", "", "from: write an hour"},
		{"2026-02-30", "", "from: write an hour"},
		{"2026-11-26", "2026-11-27T10:00Z", "both as days"},
		{"2026-11-27T10:00Z", "2026-11-27T09:00Z", "from is after to"},
		{"2026-11-27T13:00Z", "", "not begun yet"},
		{"2026-11-28", "2026-11-28", "not begun yet"},
		{"2026-11-01", "2026-11-18", "only the last 192 hours are kept; the earliest is 2026-11-19T13:00Z"},
	} {
		if _, err := usagequery.ParseHours(c.from, c.to, now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestHoursOfTheGroup: what an earlier Group with the name has used is not shown, and hours without use have a point.
func TestHoursOfTheGroup(t *testing.T) {
	q, err := usagequery.ParseHours("2026-11-27T08:00Z", "", now)
	if err != nil {
		t.Fatal(err)
	}
	used := allHours()
	delete(used, usageseries.HourOf(now)-1)
	s := q.Series("acme/acme", now.Add(-150*time.Minute), used) // at 09:30
	requests := make([]int64, 0, len(s.Points))
	for _, p := range s.Points {
		requests = append(requests, p.Requests)
	}
	if !slices.Equal(requests, []int64{0, 1, 1, 0, 1}) || s.Total.Requests != 3 || s.Points[3].Hour != "2026-11-27T11:00Z" {
		t.Errorf("%+v", s)
	}
	const most = 1<<64 - 1
	for hour := range used {
		used[hour] = usageseries.HourUse{Requests: most, Bytes: most}
	}
	if s := q.Series("acme/acme", time.Time{}, used); s.Total.Requests <= 0 || s.Points[0].Bytes <= 0 {
		t.Errorf("numbers that are too high: %+v", s)
	}
}

// TestHourPoints: any range that is not refused has a point for each of its hours, of which none is longer ago than is kept, or to come.
func TestHourPoints(t *testing.T) {
	bound := rapid.Custom(func(t *rapid.T) string {
		at := now.Add(time.Duration(rapid.IntRange(-400, 60).Draw(t, "hours")) * time.Hour)
		return at.Format(rapid.SampledFrom([]string{"2006-01-02T15:00Z", time.DateOnly}).Draw(t, "form"))
	})
	rapid.Check(t, func(t *rapid.T) {
		at := now.Add(time.Duration(rapid.IntRange(0, 3599).Draw(t, "seconds")) * time.Second)
		q, err := usagequery.ParseHours(bound.Draw(t, "from"), bound.Draw(t, "to"), at)
		if err != nil {
			return
		}
		s := q.Series("acme/acme", time.Time{}, nil)
		if n := len(s.Points); n < 1 || n > usageseries.MaxHours || s.From != s.Points[0].Hour || s.To != s.Points[n-1].Hour || s.To > "2026-11-27T12:00Z" {
			t.Fatalf("%+v", s)
		}
		for i := range s.Points[1:] {
			if s.Points[i].Hour >= s.Points[i+1].Hour {
				t.Fatalf("%s before %s", s.Points[i].Hour, s.Points[i+1].Hour)
			}
		}
	})
}
