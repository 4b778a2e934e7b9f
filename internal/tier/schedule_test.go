package tier_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
)

func anchored(day int32) func(*v1alpha1.Group) {
	return func(g *v1alpha1.Group) { g.Spec.Limits.Period = &v1alpha1.QuotaPeriod{AnchorDay: &day} }
}

// reconcile does with the limits what the reconciler of Groups does.
func reconcile(c *tier.Catalogue, group *v1alpha1.Group, at time.Time) {
	resolution := c.Resolve(group)
	resolution.Schedule(group, at)
	group.Status.Limits, group.Status.ObservedGeneration = resolution.Limits, 1
}

func on(text string) time.Time {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return at.Add(12 * time.Hour)
}

// TestSchedule: a new Group has its anchor day at once. In one that exists the running period ends as it would have, also if the
// Group has no limits, or had none. What the status remembers is forgotten when it is past.
func TestSchedule(t *testing.T) {
	for name, c := range map[string]struct {
		was, is []func(*v1alpha1.Group) // nil is a Group that does not exist yet
		tier    string
		want    []string // periods from 2026-11-20 on
	}{
		"new":                   {nil, []func(*v1alpha1.Group){anchored(15)}, "Pro", []string{"2026-11-15", "2026-12-15"}},
		"of a month":            {[]func(*v1alpha1.Group){}, []func(*v1alpha1.Group){anchored(15)}, "Pro", []string{"2026-11", "2026-12", "2026-12-15"}},
		"without limits":        {[]func(*v1alpha1.Group){}, []func(*v1alpha1.Group){anchored(15)}, "", []string{"2026-11", "2026-12", "2026-12-15"}},
		"back to months":        {[]func(*v1alpha1.Group){anchored(15)}, []func(*v1alpha1.Group){}, "", []string{"2026-11-15", "2026-12-15", "2027-01"}},
		"to another day":        {[]func(*v1alpha1.Group){anchored(15)}, []func(*v1alpha1.Group){anchored(10)}, "Pro", []string{"2026-11-15", "2026-12-15", "2027-01-10"}},
		"to the day it is, too": {[]func(*v1alpha1.Group){}, []func(*v1alpha1.Group){anchored(1)}, "Pro", []string{"2026-11", "2026-12", "2027-01"}},
	} {
		t.Run(name, func(t *testing.T) {
			catalogue, at := tier.Builtin(), on("2026-11-20")
			group := groupOf(c.tier, c.is...)
			group.Status.ObservedGeneration = -1
			if c.was != nil {
				was := groupOf(c.tier, c.was...)
				was.Status.ObservedGeneration = -1
				reconcile(catalogue, was, on("2026-11-19"))
				group.Status = was.Status
				for _, before := range []*v1alpha1.Group{was, group} { // the change is not in force before it is in the status
					if got := tier.Schedule(before).At(at); got != tier.Schedule(was).At(at) {
						t.Errorf("before it is reconciled: %s", got)
					}
				}
			}
			reconcile(catalogue, group, at)
			reconcile(catalogue, group, at) // it changes nothing
			var got []string
			for range c.want {
				got = append(got, tier.Schedule(group).At(at).String())
				at = tier.Schedule(group).At(at).End()
				reconcile(catalogue, group, at)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			reconcile(catalogue, group, at.AddDate(0, 3, 0))
			if limits := group.Status.Limits; limits != nil && limits.PeriodStarts != nil {
				t.Errorf("remembered are %v", limits.PeriodStarts)
			}
		})
	}
}

// TestScheduleOfATier: a tier may have an anchor day for all of its Groups.
func TestScheduleOfATier(t *testing.T) {
	day := int32(31)
	catalogue := &tier.Catalogue{Tiers: []tier.Tier{{Name: "Monthly", Limits: v1alpha1.Limits{Period: &v1alpha1.QuotaPeriod{AnchorDay: &day}}}}}
	group := groupOf("Monthly")
	reconcile(catalogue, group, on("2026-11-20"))
	if got := tier.Schedule(group); got != quotaledger.NewSchedule(31) {
		t.Errorf("%+v", got)
	}
}

// TestPeriodWarning: whoever changes the anchor day gets to know which periods follow.
func TestPeriodWarning(t *testing.T) {
	catalogue, at := tier.Builtin(), on("2026-11-20")
	was := groupOf("Pro")
	reconcile(catalogue, was, at)
	for day, want := range map[int32][]string{
		1:  nil,
		15: {"began on 2026-11-01", "ends on 2026-12-01 as before", "the next one ends on 2026-12-15: it is shorter, and has the whole quota"},
	} {
		is := was.DeepCopy()
		anchored(day)(is)
		warning := catalogue.PeriodWarning(was, is, at)
		for _, part := range want {
			if !strings.Contains(warning, part) {
				t.Errorf("to the %d.: %q lacks %q", day, warning, part)
			}
		}
		if want == nil && warning != "" {
			t.Errorf("to the %d.: %q", day, warning)
		}
	}
}
