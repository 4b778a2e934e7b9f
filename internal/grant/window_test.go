package grant_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

func days(names ...v1alpha1.Weekday) []v1alpha1.Weekday { return names }

// TestWindows: openings, also in the nights in which the clock is set, and in places that are far from UTC.
func TestWindows(t *testing.T) {
	for name, c := range map[string]struct {
		window        v1alpha1.RotationWindow
		inside        string // an instant
		opens, closes string
	}{
		"every day, all day":   {v1alpha1.RotationWindow{}, "2026-11-26T12:00:00Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"},
		"a part of the day":    {v1alpha1.RotationWindow{From: "02:00", To: "04:30"}, "2026-11-26T02:00:00Z", "2026-11-26T02:00:00Z", "2026-11-26T04:30:00Z"},
		"to the end of a day":  {v1alpha1.RotationWindow{From: "22:00"}, "2026-11-26T23:59:59Z", "2026-11-26T22:00:00Z", "2026-11-27T00:00:00Z"},
		"over midnight":        {v1alpha1.RotationWindow{From: "22:00", To: "02:00"}, "2026-11-27T01:59:59Z", "2026-11-26T22:00:00Z", "2026-11-27T02:00:00Z"},
		"Saturdays over night": {v1alpha1.RotationWindow{Days: days("Sat"), From: "22:00", To: "02:00"}, "2026-11-29T01:00:00Z", "2026-11-28T22:00:00Z", "2026-11-29T02:00:00Z"},
		"in another zone": {
			v1alpha1.RotationWindow{Days: days("Sun"), From: "02:00", To: "04:00", TimeZone: "Europe/Berlin"},
			"2026-11-29T01:30:00Z", "2026-11-29T01:00:00Z", "2026-11-29T03:00:00Z",
		},
		"far in the east": {
			v1alpha1.RotationWindow{Days: days("Mon"), From: "00:00", To: "06:00", TimeZone: "Pacific/Kiritimati"},
			"2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z", "2026-11-29T16:00:00Z",
		},
		"far in the west": {
			v1alpha1.RotationWindow{Days: days("Sun"), From: "20:00", To: "24:00", TimeZone: "Pacific/Pago_Pago"},
			"2026-11-30T10:59:59Z", "2026-11-30T07:00:00Z", "2026-11-30T11:00:00Z",
		},
		"around an hour that is skipped, an hour shorter": {
			v1alpha1.RotationWindow{From: "01:00", To: "05:00", TimeZone: "Europe/Berlin"},
			"2027-03-28T01:30:00Z", "2027-03-28T00:00:00Z", "2027-03-28T03:00:00Z",
		},
		"from within an hour that is skipped": {
			v1alpha1.RotationWindow{From: "02:30", To: "04:00", TimeZone: "Europe/Berlin"},
			"2027-03-28T01:00:00Z", "2027-03-28T01:00:00Z", "2027-03-28T02:00:00Z",
		},
		"in an hour that is skipped": {
			v1alpha1.RotationWindow{From: "02:00", To: "03:00", TimeZone: "Europe/Berlin"}, "2027-03-28T01:00:00Z", "", "",
		},
		"around an hour that is repeated, an hour longer": {
			v1alpha1.RotationWindow{From: "01:00", To: "05:00", TimeZone: "Europe/Berlin"},
			"2026-10-25T01:30:00Z", "2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z",
		},
		"the hour that is repeated": {
			v1alpha1.RotationWindow{From: "02:00", To: "03:00", TimeZone: "Europe/Berlin"},
			"2026-10-25T01:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z",
		},
		"until within it, the first time": {
			v1alpha1.RotationWindow{From: "01:30", To: "02:30", TimeZone: "Europe/Berlin"},
			"2026-10-25T00:00:00Z", "2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z",
		},
		"until within it, not the second time": {
			v1alpha1.RotationWindow{From: "01:30", To: "02:30", TimeZone: "Europe/Berlin"}, "2026-10-25T01:15:00Z", "", "",
		},
		"from within it, the first time": {
			v1alpha1.RotationWindow{From: "02:30", To: "03:30", TimeZone: "Europe/Berlin"},
			"2026-10-25T00:45:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z",
		},
		"a clock that is set by half an hour": {
			v1alpha1.RotationWindow{From: "01:00", To: "03:00", TimeZone: "Australia/Lord_Howe"},
			"2026-10-03T15:00:00Z", "2026-10-03T14:30:00Z", "2026-10-03T16:00:00Z",
		},
		"before it opens":   {v1alpha1.RotationWindow{From: "02:00", To: "04:00"}, "2026-11-26T01:59:59Z", "", ""},
		"when it is closed": {v1alpha1.RotationWindow{From: "02:00", To: "04:00"}, "2026-11-26T04:00:00Z", "", ""},
		"on another day":    {v1alpha1.RotationWindow{Days: days("Sat", "Sun")}, "2026-11-27T12:00:00Z", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			key := &v1alpha1.ApiKey{}
			key.Spec.Rotation = v1alpha1.Rotation{Every: "60d", Window: &c.window}
			rotation, problem := grant.RotationOf(key)
			if problem != nil {
				t.Fatal(problem)
			}
			inside, err := time.Parse(time.RFC3339, c.inside)
			if err != nil {
				t.Fatal(err)
			}
			opens, closes, open := rotation.Window.At(inside)
			if !open {
				opens, closes = time.Time{}, time.Time{}
			}
			for what, times := range map[string]struct {
				got  time.Time
				want string
			}{"opens": {opens, c.opens}, "closes": {closes, c.closes}} {
				got := ""
				if !times.got.IsZero() {
					got = times.got.UTC().Format(time.RFC3339)
				}
				if got != times.want {
					t.Errorf("%s at %q, want %q", what, got, times.want)
				}
			}
		})
	}
}

// TestSchedulesAreChecked: what the schema cannot know of windows and jitter is refused, with what to write instead.
func TestSchedulesAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		rotation v1alpha1.Rotation
		want     string // a part of the problem; "" for none
	}{
		"no such zone":         {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "Europe/Atlantis"}}, "no IANA time zone; write for instance"},
		"the zone of a file":   {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "localtime"}}, "no IANA time zone"},
		"another form":         {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "right/UTC"}}, "no IANA time zone"},
		"no zone at all":       {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "Factory"}}, "no IANA time zone"},
		"the zone of a server": {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "Local"}}, "no IANA time zone"},
		"a path":               {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "../../etc/passwd"}}, "no IANA time zone"},
		"no length":            {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{From: "02:00", To: "02:00"}}, "spec.rotation.window.to"},
		"no time":              {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{From: "25:00"}}, "spec.rotation.window.from"},
		"no day":               {v1alpha1.Rotation{Every: "60d", Window: &v1alpha1.RotationWindow{Days: days("Someday")}}, "spec.rotation.window.days"},
		"weekly, too often": {
			v1alpha1.Rotation{Every: "7d", Window: &v1alpha1.RotationWindow{Days: days("Sun")}}, "opens every 7 days; write at least 8d",
		},
		"weekly":                {v1alpha1.Rotation{Every: "8d", Window: &v1alpha1.RotationWindow{Days: days("Sun")}}, ""},
		"at weekends":           {v1alpha1.Rotation{Every: "6d", Window: &v1alpha1.RotationWindow{Days: days("Sat", "Sun")}}, "opens every 6 days"},
		"daily, too often":      {v1alpha1.Rotation{Every: "1d", Window: &v1alpha1.RotationWindow{From: "02:00", To: "04:00"}}, "write at least 2d"},
		"jitter":                {v1alpha1.Rotation{Every: "60d", Jitter: "30d"}, ""},
		"too much jitter":       {v1alpha1.Rotation{Every: "60d", Jitter: "31d"}, "spec.rotation.jitter"},
		"no duration":           {v1alpha1.Rotation{Every: "60d", Jitter: "-"}, "spec.rotation.jitter"},
		"jitter of no rotation": {v1alpha1.Rotation{Jitter: "1h"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			key := &v1alpha1.ApiKey{}
			key.Spec.Rotation = c.rotation
			_, problem := grant.RotationOf(key)
			if problem == nil && c.want != "" || problem != nil && (c.want == "" || !strings.Contains(problem.Error(), c.want)) {
				t.Errorf("%v; want %q", problem, c.want)
			}
		})
	}
}
