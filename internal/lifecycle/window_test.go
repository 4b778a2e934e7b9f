package lifecycle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

var weekdays = []v1alpha1.Weekday{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// open reports whether a clock on the wall shows a time of the window. It is written in another way than the code.
func open(t *rapid.T, w *v1alpha1.RotationWindow, at time.Time) bool {
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil {
		t.Fatal(err)
	}
	local := at.In(zone)
	clock, from, to := local.Format("15:04"), w.From, w.To
	on := func(day time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, weekdays[day]) }
	if from < to {
		return on(local.Weekday()) && from <= clock && clock < to
	}
	return on(local.Weekday()) && from <= clock || on((local.Weekday()+6)%7) && clock < to
}

func drawWindow(t *rapid.T) *v1alpha1.RotationWindow {
	clock := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%02d:%02d", rapid.IntRange(0, 23).Draw(t, "hour"), rapid.SampledFrom([]int{0, 15, 30, 59}).Draw(t, "minute"))
	})
	w := &v1alpha1.RotationWindow{
		Days: rapid.SliceOfNDistinct(rapid.SampledFrom(weekdays), 0, 3, rapid.ID[v1alpha1.Weekday]).Draw(t, "days"),
		From: clock.Draw(t, "from"),
		To:   rapid.OneOf(clock, rapid.Just("24:00")).Draw(t, "to"),
		TimeZone: rapid.SampledFrom([]string{
			"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kolkata", "Pacific/Kiritimati",
			"America/Santiago", "Africa/Casablanca",
		}).Draw(t, "timeZone"),
	}
	if w.To == w.From {
		w.To = "24:00"
	}
	return w
}

// scheduled is a key with a window, any jitter, and a version that was minted at any time of some years.
func scheduled(t *rapid.T) (in lifecycle.Input, every time.Duration) {
	days := rapid.IntRange(8, 100).Draw(t, "every")
	every = time.Duration(days) * day
	minted := start.Add(time.Duration(rapid.IntRange(0, 5*365*24*3600).Draw(t, "minted")) * time.Second)
	v := version(1, v1alpha1.VersionActive)
	v.MintedAt, v.DeliveredAt, v.ExpiresAt = metav1.Time{Time: minted}, &metav1.Time{Time: minted}, nil
	in = input(v)
	in.Secret = carrying(1)
	in.Key.Name = rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "name")
	in.Key.Spec.ExpiresAfter, in.Group.Spec.KeyPolicy.AllowNever = v1alpha1.LifetimeNever, new(true)
	if lifetime := rapid.SampledFrom([]int{0, 1, 5, 30, 90, 400}).Draw(t, "lifetime"); lifetime > 0 {
		in.Key.Spec.ExpiresAfter = v1alpha1.Lifetime(fmt.Sprintf("%dd", lifetime))
		in.Key.Status.Versions[0].ExpiresAt = &metav1.Time{Time: minted.Add(time.Duration(lifetime) * day)}
	}
	in.Key.Spec.Rotation = v1alpha1.Rotation{
		Every: v1alpha1.Duration(fmt.Sprintf("%dd", days)), Overlap: rapid.SampledFrom([]v1alpha1.Duration{"0s", "24h"}).Draw(t, "overlap"),
		Jitter: rapid.SampledFrom([]v1alpha1.Duration{"", "0s", "3d"}).Draw(t, "jitter"),
		Window: drawWindow(t),
	}
	return in, every
}

// latest is when the version has to be replaced at the latest.
func latest(in lifecycle.Input, every time.Duration) time.Time {
	v := &in.Key.Status.Versions[0]
	at := v.MintedAt.Add(every)
	if v.ExpiresAt == nil {
		return at
	}
	overlap := time.Duration(0)
	if in.Key.Spec.Rotation.Overlap != "0s" {
		overlap = day
	}
	if needed := v.ExpiresAt.Add(-min(overlap, v.ExpiresAt.Sub(v.MintedAt.Time)/3)); needed.Before(at) {
		return needed
	}
	return at
}

// openWholly reports whether the window opens and closes between two instants.
func openWholly(t *rapid.T, w *v1alpha1.RotationWindow, from, to time.Time) bool {
	was, complete := open(t, w, from), false
	for at := from; at.Before(to); at = at.Add(5 * time.Minute) {
		is := open(t, w, at)
		if is && !was {
			complete = true // it opens in time
		}
		if was && !is && complete {
			return true // and closes in time
		}
		was = is
	}
	return false
}

// TestRotationsAreInWindows: a scheduled rotation is in a window, unless none opens and closes in time; it is never later than
// every, nor than the expiry requires; and what status says about it is what happens, to the nanosecond.
func TestRotationsAreInWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, every := scheduled(t)
		minted := in.Key.Status.Versions[0].MintedAt.Time
		out := lifecycle.Plan(in, minted)
		at, last := out.RotatesAt, latest(in, every)
		if out.Obstacle != nil {
			t.Skip(out.Obstacle)
		}
		if !at.After(minted) || at.After(last) || !at.Equal(at.Truncate(time.Second)) {
			t.Fatalf("minted at %v, rotates at %v, and not after %v", minted, at, last)
		}
		window := in.Key.Spec.Rotation.Window
		if !open(t, window, at) && openWholly(t, window, minted, last.Add(-every/16)) && in.Key.Spec.Rotation.Jitter != "3d" {
			t.Fatalf("rotates at %v, out of the window %v", at, *window)
		}
		if before := lifecycle.Plan(in, at.Add(-1)); before.Action == lifecycle.Mint || before.Wake.After(at) {
			t.Fatalf("before it is due: action %v, wake %v", before.Action, before.Wake)
		}
		if due := lifecycle.Plan(in, at); due.Action != lifecycle.Mint || due.Cause != v1alpha1.CauseScheduled {
			t.Fatalf("when it is due: action %v", due.Action)
		}
	})
}

// TestMissedRotationsWaitForWindows: a rotation that was missed, because the key was suspended or no manager was running, is
// in a window, too, or at the latest instant; and each wake on the way there is exact.
func TestMissedRotationsWaitForWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, every := scheduled(t)
		first := lifecycle.Plan(in, in.Key.Status.Versions[0].MintedAt.Time)
		if first.Obstacle != nil {
			t.Skip(first.Obstacle)
		}
		last := latest(in, every)
		missed := max(0, last.Sub(first.RotatesAt))
		now := first.RotatesAt.Add(time.Duration(rapid.Int64Range(0, int64(missed)).Draw(t, "late")))
		planned := in.Key.Spec.Rotation.Jitter != "3d" &&
			openWholly(t, in.Key.Spec.Rotation.Window, in.Key.Status.Versions[0].MintedAt.Time, last.Add(-every/16))
		for range 20 {
			out := lifecycle.Plan(in, now)
			if out.Action == lifecycle.Mint {
				if planned && !open(t, in.Key.Spec.Rotation.Window, now) && now.Before(last.Truncate(time.Second)) {
					t.Fatalf("rotates at %v, out of the window, and before %v", now, last)
				}
				return
			}
			if out.Wake.IsZero() || !out.Wake.After(now) || out.RotatesAt.After(last) {
				t.Fatalf("wake %v, rotates at %v, not after %v", out.Wake, out.RotatesAt, last)
			}
			between := now.Add(time.Duration(rapid.Int64Range(0, int64(out.Wake.Sub(now))-1).Draw(t, "between")))
			if early := lifecycle.Plan(in, between); early.Action != out.Action || !early.RotatesAt.Equal(out.RotatesAt) {
				t.Fatalf("something changed before the wake: %v, then %v", out.RotatesAt, early.RotatesAt)
			}
			now = out.Wake
		}
		t.Fatal("it never rotates")
	})
}

// TestJitter: keys that were created together rotate apart, each at the same age each time, earlier than every by a twentieth
// of it at most.
func TestJitter(t *testing.T) {
	at := func(name int, minted time.Duration, rotation v1alpha1.Rotation) time.Duration {
		v := delivered(1, v1alpha1.VersionActive, minted)
		in := input(v)
		in.Key.Name, in.Key.Spec.Rotation = fmt.Sprint(name), rotation
		in.Secret = carrying(1)
		return lifecycle.Plan(in, start.Add(minted)).RotatesAt.Sub(start.Add(minted))
	}
	usual := v1alpha1.Rotation{Every: "60d", Overlap: "24h"}
	minutes := map[time.Duration]int{}
	for name := range 1000 {
		age := at(name, 0, usual)
		if age > 60*day || age < 57*day || age != at(name, 1000*day, usual) {
			t.Fatalf("key %d rotates at the age of %v, then of %v", name, age, at(name, 1000*day, usual))
		}
		minutes[age.Truncate(time.Minute)]++
		if none := at(name, 0, v1alpha1.Rotation{Every: "60d", Overlap: "24h", Jitter: "0s"}); none != 60*day {
			t.Fatalf("without jitter, key %d rotates at the age of %v", name, none)
		}
		if much := at(name, 0, v1alpha1.Rotation{Every: "60d", Overlap: "24h", Jitter: "30d"}); much > 60*day || much < 30*day {
			t.Fatalf("with much jitter, key %d rotates at the age of %v", name, much)
		}
		// The expiry, not the age, is what replaces these.
		if capped := at(name, 0, v1alpha1.Rotation{Every: "90d", Overlap: "24h"}); capped > 89*day || capped < 84*day {
			t.Fatalf("key %d, which expires after 90 days, rotates at the age of %v", name, capped)
		}
	}
	for minute, n := range minutes {
		if n > 6 {
			t.Errorf("%d of 1000 keys rotate in one minute, at the age of %v", n, minute)
		}
	}
}

// TestWindowsAreSpread: a thousand keys that share a window of two hours do not rotate when it opens.
func TestWindowsAreSpread(t *testing.T) {
	window := &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sun"}, From: "02:00", To: "04:00", TimeZone: "Europe/Berlin"}
	minutes := map[time.Time]int{}
	for name := range 1000 {
		in := input(delivered(1, v1alpha1.VersionActive, 0))
		in.Key.Name = fmt.Sprint(name)
		in.Key.Spec.Rotation = v1alpha1.Rotation{Every: "60d", Overlap: "24h", Window: window}
		in.Secret = carrying(1)
		minutes[lifecycle.Plan(in, start).RotatesAt.Truncate(time.Minute)]++
	}
	for minute, n := range minutes {
		if n > 30 {
			t.Errorf("%d of 1000 keys rotate at %v", n, minute)
		}
	}
}

// TestTriggersDoNotWait: a window is about the schedule.
func TestTriggersDoNotWait(t *testing.T) {
	in := input(delivered(1, v1alpha1.VersionActive, 0))
	in.Key.Spec.Rotation = v1alpha1.Rotation{
		Every: "60d", Trigger: "leak", Window: &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sun"}, From: "02:00", To: "04:00"},
	}
	in.Secret = carrying(1)
	if out := lifecycle.Plan(in, start.Add(time.Hour)); out.Action != lifecycle.Mint || out.Cause != v1alpha1.CauseTriggered {
		t.Errorf("action %v for %q", out.Action, out.Cause)
	}
}
