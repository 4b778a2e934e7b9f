package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// watched is a key that is accepted since the start, of a Group that watches its use; every server has reported until now.
func watched(warn, suspend v1alpha1.Days, change ...func(*lifecycle.Input)) func(now time.Time) lifecycle.Input {
	return func(now time.Time) lifecycle.Input {
		v := version(1, v1alpha1.VersionActive)
		v.DeliveredAt, v.ExpiresAt = at(0), nil
		in := input(v)
		in.Secret, in.Published = carrying(1), true
		in.Group.Spec.KeyPolicy.AllowNever = ptr.To(true)
		in.Group.Spec.KeyPolicy.WarnUnusedFor, in.Group.Spec.KeyPolicy.SuspendUnusedFor = warn, suspend
		in.Key.Spec.ExpiresAfter = v1alpha1.LifetimeNever
		in.Key.Status.State = v1alpha1.KeyActive
		in.Key.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, LastTransitionTime: *at(0)}}
		in.Usage = lifecycle.Usage{Since: start, Through: now, Of: map[string]lifecycle.Use{}}
		for _, f := range change {
			f(&in)
		}
		return in
	}
}

func warned(since time.Duration) func(*lifecycle.Input) {
	return func(in *lifecycle.Input) {
		in.Key.Status.Conditions = append(in.Key.Status.Conditions,
			metav1.Condition{Type: v1alpha1.ConditionUnused, Status: metav1.ConditionTrue, LastTransitionTime: *at(since)})
	}
}

func TestUnused(t *testing.T) {
	unknown := func(in *lifecycle.Input) { in.Usage.Through = time.Time{} }
	used := func(after time.Duration) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) { in.Key.Status.LastUsedAt = at(after) }
	}
	reported := func(after time.Duration) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) { in.Usage.Of[digest("1")] = lifecycle.Use{Last: start.Add(after)} }
	}
	resumed := func(text string) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Key.Annotations = map[string]string{v1alpha1.AnnotationSuspendedUnused: text}
		}
	}
	stamp := func(after time.Duration) string { return start.Add(after).Format(time.RFC3339) }
	for name, c := range map[string]struct {
		in   func(time.Time) lifecycle.Input
		at   time.Duration
		want string // unused, with when it is suspended, or suspended
		wake time.Duration
	}{
		"no policy":                        {watched("", ""), 900 * day, "", 0},
		"not for long":                     {watched("30d", ""), 30*day - 1, "", 30 * day},
		"for as long":                      {watched("30d", ""), 30 * day, "unused", 0},
		"used since":                       {watched("30d", "", used(day)), 30 * day, "", 31 * day},
		"used, which is not written yet":   {watched("30d", "", reported(2*day)), 30 * day, "", 32 * day},
		"not every server has reported":    {watched("30d", "", unknown), 30 * day, "", 30*day + 10*time.Minute},
		"that was known before":            {watched("30d", "", unknown, warned(30*day)), 31 * day, "unused", 0},
		"to be suspended":                  {watched("30d", "90d", warned(30*day)), 31 * day, "unused until 90d", 90 * day},
		"suspended":                        {watched("30d", "90d", warned(30*day)), 90 * day, "suspended", 0},
		"never without a warning":          {watched("30d", "90d"), 100 * day, "unused until 101d", 101 * day},
		"not soon after a warning":         {watched("30d", "90d", warned(100*day)), 101*day - 1, "unused until 101d", 101 * day},
		"a day after a late warning":       {watched("30d", "90d", warned(100*day)), 101 * day, "suspended", 0},
		"never if use is unknown":          {watched("30d", "90d", warned(30*day), unknown), 900 * day, "unused until 90d", 900*day + 10*time.Minute},
		"warned a day before":              {watched("", "7d"), 6 * day, "unused until 7d", 7 * day},
		"suspended without another policy": {watched("", "7d", warned(6*day)), 7 * day, "suspended", 0},
		"resumed":                          {watched("30d", "90d", resumed(stamp(90*day))), 100 * day, "", 120 * day},
		"resumed, and unused again":        {watched("30d", "90d", resumed(stamp(90*day)), warned(120*day)), 180 * day, "suspended", 0},
		"a stamp that is no instant":       {watched("30d", "", resumed("soon")), 30 * day, "unused", 0},
		"a stamp in the future":            {watched("30d", "", resumed(stamp(900*day))), 30 * day, "unused", 0},
		"it is not accepted": {watched("30d", "90d", warned(30*day), func(in *lifecycle.Input) {
			in.Key.Status.Conditions[0].Status = metav1.ConditionFalse
		}), 900 * day, "", 0},
		"it was resumed, which its status does not show yet": {watched("30d", "90d", warned(30*day), func(in *lifecycle.Input) {
			in.Key.Status.State = v1alpha1.KeySuspended
		}), 900 * day, "", 0},
		"it is suspended": {watched("30d", "90d", warned(30*day), func(in *lifecycle.Input) { in.Key.Spec.Suspended = ptr.To(true) }), 900 * day, "", 0},
		"its Group is frozen": {watched("30d", "90d", warned(30*day), func(in *lifecycle.Input) {
			in.Group.Spec.State = v1alpha1.GroupFrozen
		}), 900 * day, "", 0},
		"it is revoked": {watched("30d", "90d", warned(30*day), func(in *lifecycle.Input) { in.Key.Spec.Revoked = ptr.To(true) }), 900 * day, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(c.at)
			out, got := lifecycle.Plan(c.in(now), now), ""
			switch u := out.Unused; {
			case u == nil:
			case u.Suspend:
				got = "suspended"
			case u.SuspendsAt.IsZero():
				got = "unused"
			default:
				got = fmt.Sprintf("unused until %dd", u.SuspendsAt.Sub(start)/day)
			}
			if got != c.want {
				t.Errorf("got %q, expected %q", got, c.want)
			}
			if c.wake == 0 && !out.Wake.IsZero() || c.wake != 0 && !out.Wake.Equal(start.Add(c.wake)) {
				t.Errorf("looked at again after %v, expected %v", out.Wake.Sub(start), c.wake)
			}
		})
	}
}

// TestSuspendedOnlyIfUnusedForAllOfIt: a key is suspended only if neither its use, nor its acceptance, nor an earlier
// suspension is within the days, it was warned of for one, and every server has reported.
func TestSuspendedOnlyIfUnusedForAllOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 60*24).Draw(t, name)) * time.Hour
		}
		now, used, accepted, stamped, through := hours("now"), hours("used"), hours("accepted"), hours("suspended"), hours("through")
		warnedAt, length := hours("warned"), rapid.IntRange(7, 40).Draw(t, "days")
		in := watched("", v1alpha1.Days(fmt.Sprintf("%dd", length)), warned(warnedAt))(start.Add(now))
		in.Usage.Through = start.Add(through)
		in.Key.Status.LastUsedAt, in.Key.Status.Conditions[0].LastTransitionTime = at(used), *at(accepted)
		in.Key.Annotations = map[string]string{v1alpha1.AnnotationSuspendedUnused: start.Add(stamped).Format(time.RFC3339)}
		out, whole := lifecycle.Plan(in, start.Add(now)), time.Duration(length)*day
		if out.Unused == nil || !out.Unused.Suspend {
			return
		}
		for name, instant := range map[string]time.Duration{"used": used, "accepted": accepted} {
			if now-instant < whole || through-instant < whole {
				t.Fatalf("%s %v before", name, now-instant)
			}
		}
		if stamped <= now && now-stamped < whole || now-warnedAt < day {
			t.Fatalf("suspended %v and warned %v before", now-stamped, now-warnedAt)
		}
	})
}

// TestSuspensionSaysWhy: whoever looks at the key sees why it is refused.
func TestSuspensionSaysWhy(t *testing.T) {
	in := input(version(1, v1alpha1.VersionActive))
	in.Key.Spec.Suspended = ptr.To(true)
	if out := lifecycle.Plan(in, start); strings.Contains(out.Obstacle.Message, "not used") {
		t.Errorf("somebody else has suspended it: %q", out.Obstacle.Message)
	}
	in.Key.Annotations = map[string]string{v1alpha1.AnnotationSuspendedUnused: "2026-11-27T08:00:00Z"}
	if out := lifecycle.Plan(in, start); !strings.Contains(out.Obstacle.Message, "suspended at 2026-11-27T08:00:00Z because it was not used") {
		t.Errorf("got %q", out.Obstacle.Message)
	}
}
