package view

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/role"
)

// used is what the manager has recorded by the 27th of November, at noon.
func used() *v1alpha1.GroupUsage {
	usage := &v1alpha1.GroupUsage{}
	usage.Status.GroupUID = "1"
	usage.Status.Months = []v1alpha1.MonthUsage{
		{Month: "2026-11", UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](450_000), Bytes: ptr.To[int64](12_000_000_000)},
			TrafficCounts: v1alpha1.TrafficCounts{Refusals: map[string]int64{"origin_denied": 90, "key_expired": 3},
				Origins: []v1alpha1.OriginCount{{Origin: "https://www.acme.example", Requests: ptr.To[int64](400_000)}}}},
		{Month: "2026-10", UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](7)}},
	}
	usage.Status.Days = []v1alpha1.DayUsage{
		{Day: "2026-11-27", Requests: ptr.To[int64](200_000)},
		{Day: "2026-11-02", Requests: ptr.To[int64](250_000), TrafficCounts: v1alpha1.TrafficCounts{Refusals: map[string]int64{"origin_denied": 93}}},
		{Day: "2026-10-31", Requests: ptr.To[int64](7)},
	}
	return usage
}

func TestUsage(t *testing.T) {
	group := acme(func(g *v1alpha1.Group) { g.Status.Limits.BytesPerMonth = ptr.To(resource.MustParse("100G")) })
	got, err := sight(role.Viewer).Usage(group, used(), []v1alpha1.ApiKey{*web(), *web(func(k *v1alpha1.ApiKey) {
		k.Name, k.Status.Usage = "unused", nil
	})}, true, "")
	if err != nil {
		t.Fatal(err)
	}
	december := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	share := 26.5 / 30
	want := page.Usage{
		Month: "November 2026", Earlier: "/groups/acme/acme/usage?month=2026-10", Days: got.Days,
		Limits: []page.Limit{
			{Name: "Requests", State: page.State{Text: "On its way", Tone: page.Warn}, Used: 450_000, Most: 500_000, Expected: int64(450_000 * (1 / share)),
				Reached: got.Limits[0].Reached, Resets: december},
			{Name: "Traffic", State: page.State{Text: "Enough", Tone: page.Good}, Used: 12_000_000_000, Most: 100_000_000_000, Bytes: true,
				Expected: int64(12_000_000_000 * (1 / share)), Resets: december},
			{Name: "Keys", State: page.State{Text: "Enough", Tone: page.Good}, Used: 4, Most: 10},
		},
		Keys:    []page.Share{{Name: "web", Href: "/groups/acme/acme/keys/acme/web", Requests: 9000}},
		Origins: []page.Share{{Name: "https://www.acme.example", Requests: 400_000}},
		Codes:   []page.Share{{Name: "allowed", Requests: 450_000}, {Name: "origin_denied", Requests: 90}, {Name: "key_expired", Requests: 3}},
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if reached := got.Limits[0].Reached; !reached.After(now) || !reached.Before(december) {
		t.Errorf("the quota is used up %s", reached)
	}
	if len(got.Days) != 27 || got.Days[1] != (page.Day{On: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Allowed: 250_000, Refused: 93}) {
		t.Errorf("%d days: %+v", len(got.Days), got.Days)
	}
}

func TestUsageOfOtherMonths(t *testing.T) {
	got, err := sight(role.Viewer).Usage(acme(), used(), nil, true, "2026-10")
	if err != nil || got.Month != "October 2026" || got.Later != "/groups/acme/acme/usage?month=2026-11" ||
		got.Earlier != "/groups/acme/acme/usage?month=2026-09" || len(got.Limits) != 0 || len(got.Days) != 31 {
		t.Errorf("%v: %+v", err, got)
	}
	if got, err = sight(role.Viewer).Usage(acme(), used(), nil, true, "2026-09"); err != nil || got.Earlier != "" || got.Days != nil {
		t.Errorf("the oldest month: %v: %+v", err, got)
	}
	for _, month := range []string{"2026-12", "2025-11", "2026-13", "November", "2026-11-01", "' OR 1=1"} {
		if got, err := sight(role.Viewer).Usage(acme(), used(), nil, true, month); !errors.Is(err, ErrMonth) {
			t.Errorf("%s: %v: %+v", month, err, got)
		}
	}
}

// TestOtherKeys: what is not shown of the keys is there as a sum.
func TestOtherKeys(t *testing.T) {
	var keys []v1alpha1.ApiKey
	for i := range 25 {
		keys = append(keys, *web(func(k *v1alpha1.ApiKey) {
			k.Name, k.Status.Usage = fmt.Sprintf("web-%02d", i), &v1alpha1.KeyRequests{Period: "2026-11", Requests: ptr.To(int64(100 + i))}
		}))
	}
	got, err := sight(role.Viewer).Usage(acme(), used(), keys, true, "")
	if err != nil || len(got.Keys) != 21 || got.Keys[0].Name != "web-24" || got.Keys[20].Name != "other keys" || got.Keys[20].Requests != 450_000-20*124+190 {
		t.Errorf("%v: %d: %+v", err, len(got.Keys), got.Keys)
	}
	if got, _ = sight(role.Viewer).Usage(acme(), used(), keys[:1], false, ""); len(got.Keys) != 2 || got.Keys[1].Requests != 450_000-100 {
		t.Errorf("of more keys than were read: %+v", got.Keys)
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.Group)
		want   page.State
	}{
		"no quota": {func(g *v1alpha1.Group) { g.Status.Limits.RequestsPerMonth = nil }, page.State{Text: "Enough", Tone: page.Good}},
		"refused":  {func(g *v1alpha1.Group) { g.Status.Limits.RequestsPerMonth = ptr.To[int64](450_000) }, page.State{Text: "Used up: requests are refused", Tone: page.Bad}},
		"metered": {func(g *v1alpha1.Group) {
			g.Status.Limits.RequestsPerMonth, g.Status.Limits.Overage = ptr.To[int64](1), v1alpha1.OverageMeter
		}, page.State{Text: "Used up: more is metered", Tone: page.Warn}},
		"of an earlier Group": {func(g *v1alpha1.Group) { g.UID = "2" }, page.State{Text: "Enough", Tone: page.Good}},
	} {
		got, err := sight(role.Viewer).Usage(acme(c.change), used(), nil, true, "")
		if err != nil || got.Limits[0].State != c.want {
			t.Errorf("%s: %v: %+v", name, err, got.Limits)
		}
	}
}
