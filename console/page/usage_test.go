package page

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func exampleUsage() Usage {
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	page := Usage{Month: "March 2026", Earlier: "/groups/acme/usage?month=2026-02",
		Limits: []Limit{
			{Name: "Requests", State: State{"On its way", Warn}, Used: 402_118, Most: 500_000, Expected: 890_000, Reached: now.Add(3 * day),
				Resets: first.AddDate(0, 1, 0)},
			{Name: "Traffic", State: State{"Enough", Good}, Used: 12_400_000_000, Most: 100_000_000_000, Bytes: true, Expected: 28_000_000_000,
				Resets: first.AddDate(0, 1, 0)},
			{Name: "Keys", State: State{"Enough", Good}, Used: 4, Most: 10}},
		Keys: []Share{{"checkout", "/groups/acme/keys/checkout", 310_400}, {"web", "/groups/acme/keys/web", 88_912},
			{"import-pipeline", "/groups/acme/keys/import-pipeline", 2806}},
		Origins: []Share{{Name: "https://www.acme.example", Requests: 350_021}, {Name: "none", Requests: 52_097}},
		Codes:   []Share{{Name: "allowed", Requests: 402_118}, {Name: "origin_denied", Requests: 9120}, {Name: "key_expired", Requests: 31}},
	}
	for i := range int64(14) {
		page.Days = append(page.Days, Day{first.AddDate(0, 0, int(i)), 18_000 + (i*7919)%23_000, (i * i * 131) % 3100})
	}
	return page
}

func TestChartStaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var days []Day
		number := rapid.Int64Range(0, 1<<58)
		for range rapid.IntRange(0, 31).Draw(t, "days") {
			days = append(days, Day{now, number.Draw(t, "allowed"), number.Draw(t, "refused")})
		}
		for i, b := range newChart(days).Bars {
			if b.RefusedY < chartTop || b.AllowedY+b.AllowedHigh != chartTop+chartHigh || b.RefusedY+b.RefusedHigh != b.AllowedY {
				t.Fatalf("%+v", b)
			}
			if (b.AllowedHigh > 0) != (days[i].Allowed > 0) || (b.RefusedHigh > 0) != (days[i].Refused > 0) {
				t.Fatalf("%+v of %+v", b, days[i])
			}
		}
	})
}

func TestRoundUp(t *testing.T) {
	for n, want := range map[int64]int64{0: 2, 1: 2, 3: 4, 9: 10, 10: 10, 11: 20, 41_000: 60_000, 100: 100} {
		if got := roundUp(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
}

func TestMeter(t *testing.T) {
	for _, c := range []struct {
		limit                   Limit
		used, most, width, mark string
	}{
		{Limit{Used: 5, Most: 10, Expected: 8}, "5", "10", "50.00%", "80.00%"},
		{Limit{Used: 50, Most: 10, Expected: 80}, "50", "10", "100.00%", ""},
		{Limit{Used: 5}, "5", "unlimited", "0%", ""},
		{Limit{Used: 999, Most: 1_500_000, Bytes: true}, "999 B", "1.5 MB", "0.07%", ""},
	} {
		if m := newMeter(c.limit); m.UsedText != c.used || m.MostText != c.most || m.Width != c.width || m.Mark != c.mark {
			t.Errorf("%+v", m)
		}
	}
}
