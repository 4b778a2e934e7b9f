// Package notice decides what people are to be notified of, and when: keys that end, quotas that run out, use that is unusual. It is
// pure. What it returns depends on nothing but what objects show and on the instant, and each notice has a cause by which it is the same
// notice however often, and by whom, it is found.
package notice

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

const (
	day = 24 * time.Hour
	// unclaimedAfter is the part of the time for a claim that passes before the notice.
	unclaimedAfter = lifecycle.ClaimWithin / 2
)

// beforeExpiry is how many days before its end there is a notice of a key, the latest first.
var beforeExpiry = []int64{1, 7, 14}

// Notice is what people are to be notified of.
type Notice struct {
	Type groupevent.Type
	// Cause is what the notice is about: the same for the same notice, and different for each other one about the object.
	Cause string
	// At is when it became due. It does not depend on when it is found.
	At   time.Time
	Data any
}

// OfKey returns what is due about an ApiKey at an instant, and the next instant at which something becomes due without a change of the
// ApiKey; zero if there is none.
func OfKey(key *v1alpha1.ApiKey, now time.Time) (due []Notice, next time.Time) {
	k := &ofKey{key: key, now: now}
	if key.Status.ObservedGeneration != key.Generation || lifecycle.Revoked(key) {
		return nil, time.Time{} // the status is about something else; the ApiKey is looked at again when it is written
	}
	k.expiring()
	k.unclaimed()
	k.cutover()
	k.unused()
	k.quota()
	return k.due, k.next
}

type ofKey struct {
	key  *v1alpha1.ApiKey
	now  time.Time
	due  []Notice
	next time.Time
}

// wait has the ApiKey looked at again at an instant, if that is in the future.
func (k *ofKey) wait(at time.Time) {
	if at.After(k.now) && (k.next.IsZero() || at.Before(k.next)) {
		k.next = at
	}
}

func (k *ofKey) add(kind groupevent.Type, cause string, at time.Time, data any) {
	k.due = append(k.due, Notice{kind, cause, at, data})
}

// versionCause names a version. One that was dropped before its delivery leaves its number to another.
func versionCause(v *v1alpha1.KeyVersion) string {
	return fmt.Sprintf("version/%d/%d", v.ID, v.MintedAt.Unix())
}

// active is the version that was delivered last; nil if there is none.
func (k *ofKey) active() *v1alpha1.KeyVersion {
	var latest *v1alpha1.KeyVersion
	for i := range k.key.Status.Versions {
		if v := &k.key.Status.Versions[i]; v.State == v1alpha1.VersionActive {
			latest = v
		}
	}
	return latest
}

// expiring is about a key that ends and does not rotate before. Of the notices that are due, only the last one is given: a day
// before the end, nobody needs to know that there were 14.
func (k *ofKey) expiring() {
	v := k.active()
	if v == nil || v.ExpiresAt == nil || lifecycle.Passed(v.ExpiresAt, k.now) || k.rotates(v) {
		return
	}
	lifetime, given := v.ExpiresAt.Sub(v.MintedAt.Time), false
	for _, days := range beforeExpiry {
		before := time.Duration(days) * day
		if given || before > lifetime/2 {
			continue
		}
		at := v.ExpiresAt.Add(-before)
		if k.wait(at); k.now.Before(at) {
			continue
		}
		given = true
		k.add(groupevent.TypeKeyExpiring, fmt.Sprintf("%s/expires/%d/%dd", versionCause(v), v.ExpiresAt.Unix(), days), at,
			groupevent.KeyExpiring{Version: v.ID, Days: days, ExpiresAt: format(v.ExpiresAt.Time)})
	}
}

// rotates reports whether the key rotates before the version ends. One that is overdue, and waits for somebody to act, does not.
func (k *ofKey) rotates(v *v1alpha1.KeyVersion) bool {
	at, end := k.key.Status.NextRotationAt, k.key.Spec.ExpiresAt
	if at == nil || end != nil && !v.ExpiresAt.Before(end) {
		return false
	}
	waits := k.key.Status.State == v1alpha1.KeySuspended ||
		meta.IsStatusConditionTrue(k.key.Status.Conditions, v1alpha1.ConditionStalled)
	if !waits {
		return true
	}
	k.wait(at.Time)
	return k.now.Before(at.Time)
}

// unclaimed is about a text that nobody has claimed, while there still is time.
func (k *ofKey) unclaimed() {
	v := k.active()
	if v == nil || k.key.Spec.Secret.Reveal != v1alpha1.RevealOnce || v.DeliveredAt == nil || v.ClaimedAt != nil {
		return
	}
	at := v.DeliveredAt.Add(unclaimedAfter)
	if k.wait(at); k.now.Before(at) {
		return
	}
	k.add(groupevent.TypeKeyUnclaimed, versionCause(v)+"/unclaimed", at,
		groupevent.KeyUnclaimed{Version: v.ID, Until: format(v.DeliveredAt.Add(lifecycle.ClaimWithin))})
}

// cutover is about a version that is used though its overlap is about to end. The condition knows that it is used; of several
// versions, the one that was used last is meant.
func (k *ofKey) cutover() {
	if !meta.IsStatusConditionTrue(k.key.Status.Conditions, v1alpha1.ConditionCutoverPending) {
		return
	}
	var used *v1alpha1.KeyVersion
	for i := range k.key.Status.Versions {
		v := &k.key.Status.Versions[i]
		if v.State != v1alpha1.VersionRetiring || k.now.Before(lifecycle.LastQuarter(v)) {
			continue
		}
		if used == nil || used.LastUsedAt == nil || v.LastUsedAt != nil && v.LastUsedAt.After(used.LastUsedAt.Time) {
			used = v
		}
	}
	if used == nil {
		return
	}
	ends := lifecycle.RefusedAt(used)
	k.add(groupevent.TypeCutoverPending, fmt.Sprintf("%s/cutover/%d", versionCause(used), ends.Unix()), lifecycle.LastQuarter(used),
		groupevent.CutoverPending{Version: used.ID, Until: format(ends)})
}

// unused is about a key that is not used. The condition knows that every validation server has reported.
func (k *ofKey) unused() {
	is := meta.FindStatusCondition(k.key.Status.Conditions, v1alpha1.ConditionUnused)
	since := lifecycle.UnusedSince(k.key, k.now)
	if is == nil || is.Status != metav1.ConditionTrue || since.IsZero() {
		return
	}
	k.add(groupevent.TypeKeyUnused, fmt.Sprintf("unused/%d", since.Unix()), is.LastTransitionTime.Time,
		groupevent.KeyUnused{Since: format(since)})
}

func format(at time.Time) string { return at.UTC().Format(time.RFC3339) }
