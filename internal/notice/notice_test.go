package notice_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/notice"
)

var start = time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func at(after time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(start.Add(after))) }

// newKey is an active key that was minted at the start, and expires after a time.
func newKey(lifetime time.Duration, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
	key.Status.ObservedGeneration, key.Status.State = 1, v1alpha1.KeyActive
	key.Status.Versions = []v1alpha1.KeyVersion{{
		ID: 1, State: v1alpha1.VersionActive, MintedAt: *at(0), DeliveredAt: at(0), ExpiresAt: at(lifetime),
	}}
	for _, f := range change {
		f(key)
	}
	return key
}

func is(condition string, since time.Duration) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) {
		key.Status.Conditions = append(key.Status.Conditions, metav1.Condition{
			Type: condition, Status: metav1.ConditionTrue, LastTransitionTime: *at(since),
		})
	}
}

func rotating(next time.Duration) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) { key.Status.NextRotationAt = at(next) }
}

// overlapping adds an earlier version, whose overlap lasts for 8 hours from the start and which was used at an instant.
func overlapping(used time.Duration) func(*v1alpha1.ApiKey) {
	return func(key *v1alpha1.ApiKey) {
		key.Status.Versions[0].ID = 2
		key.Status.Versions = slices.Insert(key.Status.Versions, 0, v1alpha1.KeyVersion{
			ID: 1, State: v1alpha1.VersionRetiring, MintedAt: *at(-day), ReplacedAt: at(0), RetiresAt: at(8 * time.Hour), LastUsedAt: at(used),
		})
	}
}

func TestOfKey(t *testing.T) {
	once := func(key *v1alpha1.ApiKey) { key.Spec.Secret.Reveal = v1alpha1.RevealOnce }
	for name, c := range map[string]struct {
		key  *v1alpha1.ApiKey
		at   time.Duration
		due  string // type, cause and instant
		next time.Duration
	}{
		"long before the end":       {newKey(90 * day), 0, "", 76 * day},
		"just before 14 days":       {newKey(90 * day), 76*day - 1, "", 76 * day},
		"14 days":                   {newKey(90 * day), 76 * day, "key-expiring 14d 76d", 83 * day},
		"first seen with 3 days":    {newKey(90 * day), 87 * day, "key-expiring 7d 83d", 89 * day},
		"the last day":              {newKey(90 * day), 90*day - 1, "key-expiring 1d 89d", 0},
		"the end":                   {newKey(90 * day), 90 * day, "", 0},
		"a short lifetime":          {newKey(14 * day), 3 * day, "", 7 * day},
		"a shorter lifetime":        {newKey(14*day - 1), 3 * day, "", 13*day - 1},
		"a lifetime of a day":       {newKey(day), 23 * time.Hour, "", 0},
		"it rotates":                {newKey(90*day, rotating(60*day)), 89 * day, "", 0},
		"its own end is declared":   {newKey(90*day, rotating(60*day), func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAt = at(90 * day) }), 89 * day, "key-expiring 1d 89d", 0},
		"its end is later":          {newKey(90*day, rotating(60*day), func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAt = at(91 * day) }), 89 * day, "", 0},
		"it waits, and is not due":  {newKey(90*day, rotating(88*day), is(v1alpha1.ConditionStalled, 0)), 87 * day, "", 88 * day},
		"it cannot rotate":          {newKey(90*day, rotating(88*day), is(v1alpha1.ConditionStalled, 0)), 88 * day, "key-expiring 7d 83d", 89 * day},
		"it is suspended":           {newKey(90*day, rotating(60*day), func(k *v1alpha1.ApiKey) { k.Status.State = v1alpha1.KeySuspended }), 89 * day, "key-expiring 1d 89d", 0},
		"it is revoked":             {newKey(90*day, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) }), 89 * day, "", 0},
		"the status is about less":  {newKey(90*day, func(k *v1alpha1.ApiKey) { k.Generation = 2 }), 89 * day, "", 0},
		"it never ends":             {newKey(0, func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ExpiresAt = nil }), 89 * day, "", 0},
		"not claimed yet":           {newKey(90*day, once), 29 * time.Minute, "", 30 * time.Minute},
		"not claimed":               {newKey(90*day, once), 30 * time.Minute, "key-unclaimed - 30m", 76 * day},
		"claimed":                   {newKey(90*day, once, func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ClaimedAt = at(time.Minute) }), time.Hour, "", 76 * day},
		"an overlap that is used":   {newKey(90*day, overlapping(time.Hour), is(v1alpha1.ConditionCutoverPending, 0)), 6 * time.Hour, "cutover-pending - 6h", 76 * day},
		"an overlap that is unused": {newKey(90*day, overlapping(time.Hour)), 6 * time.Hour, "", 76 * day},
		"unused":                    {newKey(90*day, is(v1alpha1.ConditionAccepted, time.Minute), is(v1alpha1.ConditionUnused, 30*day)), 31 * day, "key-unused - 720h", 76 * day},
	} {
		t.Run(name, func(t *testing.T) {
			due, next := notice.OfKey(c.key, start.Add(c.at))
			got := ""
			for _, n := range due {
				days := "-"
				if data, is := n.Data.(groupevent.KeyExpiring); is {
					days = fmt.Sprintf("%dd", data.Days)
				}
				after := n.At.Sub(start)
				short := map[bool]string{true: fmt.Sprintf("%dd", after/day), false: shortOf(after)}[days != "-"]
				got += fmt.Sprintf("%s %s %s", n.Type.Short()[len("notice."):], days, short)
			}
			if got != c.due {
				t.Errorf("due: %q, expected %q", got, c.due)
			}
			if want := start.Add(c.next); c.next == 0 && !next.IsZero() || c.next != 0 && !next.Equal(want) {
				t.Errorf("next: %v, expected %v", next, c.next)
			}
		})
	}
}

func shortOf(d time.Duration) string {
	if d < time.Hour {
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}

// TestVersionsAndEndsHaveNoticesOfTheirOwn: another version, or another end of the same, is another cause.
func TestVersionsAndEndsHaveNoticesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range []*v1alpha1.ApiKey{
		newKey(20 * day), newKey(20*day + time.Second),
		newKey(20*day, func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ID = 2 }),
		newKey(20*day, func(k *v1alpha1.ApiKey) { k.Status.Versions[0].MintedAt = *at(time.Second) }),
	} {
		due, _ := notice.OfKey(key, start.Add(19*day+2*time.Second))
		if len(due) != 1 || seen[due[0].Cause] {
			t.Errorf("%v, after %v", due, seen)
			continue
		}
		seen[due[0].Cause] = true
	}
}

// genKey draws a key in some state of its life.
func genKey(t *rapid.T) *v1alpha1.ApiKey {
	hours := func(name string, from, to int) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Hour
	}
	key := newKey(hours("lifetime", 1, 100*24))
	if rapid.Bool().Draw(t, "once") {
		key.Spec.Secret.Reveal = v1alpha1.RevealOnce
	}
	if rapid.Bool().Draw(t, "overlaps") {
		overlapping(hours("used", 0, 8))(key)
		is(v1alpha1.ConditionCutoverPending, 0)(key)
	}
	if rapid.Bool().Draw(t, "rotates") {
		rotating(hours("rotation", 1, 100*24))(key)
	}
	if rapid.Bool().Draw(t, "stalled") {
		is(v1alpha1.ConditionStalled, 0)(key)
	}
	if rapid.Bool().Draw(t, "declares its end") {
		key.Spec.ExpiresAt = at(hours("end", 1, 100*24))
	}
	if rapid.Bool().Draw(t, "has a quota") {
		key.Status.Quota = &v1alpha1.KeyQuota{Period: "2026-11", Limit: ptr.To[int64](100), Notice: &v1alpha1.KeyQuotaNotice{
			Percent: 75, Used: 80, NoticedAt: *at(0),
		}}
	}
	if rapid.Bool().Draw(t, "unused") {
		is(v1alpha1.ConditionAccepted, 0)(key)
		is(v1alpha1.ConditionUnused, hours("unused since", 24, 48))(key)
	}
	return key
}

// TestEachLookFindsTheSame: whoever looks, in which order and how often, there is one notice for each cause, always the same, and no two for
// what is due at once.
func TestEachLookFindsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, found := genKey(t), map[string]notice.Notice{}
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			now := start.Add(time.Duration(rapid.IntRange(0, 101*24*60).Draw(t, "at")) * time.Minute)
			due, next := notice.OfKey(key, now)
			types := map[groupevent.Type]bool{}
			for _, n := range due {
				if n.At.After(now) && n.Type != groupevent.TypeKeyUnused { // that is of the condition, which is there
					t.Fatalf("%v is not due yet", n)
				}
				if was, is := found[n.Cause]; is && !cmp.Equal(was, n) {
					t.Fatalf("%v was %v", n, was)
				}
				if types[n.Type] {
					t.Fatalf("two at once: %v", due)
				}
				found[n.Cause], types[n.Type] = n, true
			}
			if !next.IsZero() && !next.After(now) {
				t.Fatalf("the next look at %v is not after %v", next, now)
			}
		}
	})
}

// TestNextMissesNothing: who looks only when it is said to find as much as who looks all the time.
func TestNextMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, planned, always := genKey(t), map[string]bool{}, map[string]bool{}
		for now, next := start, start; now.Before(start.Add(101 * day)); now = now.Add(30 * time.Minute) {
			due, _ := notice.OfKey(key, now)
			for _, n := range due {
				always[n.Cause] = true
			}
			for !next.IsZero() && !next.After(now) {
				due, next = notice.OfKey(key, next)
				for _, n := range due {
					planned[n.Cause] = true
				}
			}
		}
		for cause := range always {
			// What a condition says has no instant of its own: its change is looked at.
			if !planned[cause] && !conditional(cause) {
				t.Fatalf("%s was missed: %v", cause, planned)
			}
		}
	})
}

func conditional(cause string) bool {
	return strings.HasPrefix(cause, "unused/") || strings.Contains(cause, "/cutover/")
}

// TestNoneForWhatRotatesBefore: a key that rotates before it ends, and has nothing in the way, has no notice about its end.
func TestNoneForWhatRotatesBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := genKey(t)
		key.Spec.ExpiresAt, key.Status.Conditions, key.Status.NextRotationAt = nil, nil, at(day)
		due, _ := notice.OfKey(key, start.Add(time.Duration(rapid.IntRange(0, 100*24).Draw(t, "at"))*time.Hour))
		for _, n := range due {
			if n.Type == groupevent.TypeKeyExpiring {
				t.Fatalf("%v", n)
			}
		}
	})
}
