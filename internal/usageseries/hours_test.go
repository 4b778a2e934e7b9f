package usageseries_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/usageseries"
)

// TestHourOf: an hour is that of UTC, also where the local one begins at half past, and before 1970.
func TestHourOf(t *testing.T) {
	half := time.FixedZone("", 5*60*60+30*60)
	for _, c := range []struct{ at, begins string }{
		{"2026-11-27T13:00:00Z", "2026-11-27T13:00:00Z"},
		{"2026-11-27T13:59:59.999999999Z", "2026-11-27T13:00:00Z"},
		{"2026-11-28T00:29:59+05:30", "2026-11-27T18:00:00Z"},
		{"2026-11-28T00:30:00+05:30", "2026-11-27T19:00:00Z"},
		{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"1969-12-31T23:59:59Z", "1969-12-31T23:00:00Z"},
		{"1969-12-31T23:00:00Z", "1969-12-31T23:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, c.at)
		if err != nil {
			t.Fatal(err)
		}
		for _, zone := range []*time.Location{time.UTC, half} {
			if got := usageseries.HourOf(at.In(zone)).Begin().Format(time.RFC3339); got != c.begins {
				t.Errorf("%s is in the hour of %s, want %s", c.at, got, c.begins)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		hour := usageseries.HourOf(at)
		if at.Before(hour.Begin()) || !at.Before((hour + 1).Begin()) || usageseries.HourOf(hour.Begin()) != hour {
			t.Fatalf("%s is not in the hour from %s", at, hour.Begin())
		}
	})
}
