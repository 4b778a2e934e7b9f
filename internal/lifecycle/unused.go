package lifecycle

import (
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// leastWarning is how long a key has the condition Unused before it is suspended for that.
	leastWarning = 24 * time.Hour
	// unusedRetry is how soon to check again whether all servers have reported on a key that seems unused.
	unusedRetry = 10 * time.Minute
)

// Unused is that a key is not used.
type Unused struct {
	// Since is when it was used or accepted last.
	Since time.Time
	// SuspendsAt is when it is suspended for that; zero if it is not. Suspend reports whether it is now.
	SuspendsAt time.Time
	Suspend    bool
}

// WatchesUse reports whether a keyPolicy has something to say about keys that are not used.
func WatchesUse(policy *v1alpha1.KeyPolicy) bool {
	return policy.WarnUnusedFor != "" || policy.SuspendUnusedFor != ""
}

// UnusedSince is since when a key was not used, as its status has it: since it was used last, since it has been accepted, or since it was
// suspended last because it was not used, whichever is latest. So a key that was resumed is left alone for as long as a new one.
// It is zero while the key is not accepted.
func UnusedSince(key *v1alpha1.ApiKey, now time.Time) time.Time {
	accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted)
	if key.Status.State != v1alpha1.KeyActive || accepted == nil || accepted.Status != metav1.ConditionTrue {
		return time.Time{}
	}
	since := accepted.LastTransitionTime.Time
	if used := key.Status.LastUsedAt; used != nil && used.After(since) {
		since = used.Time
	}
	// Whoever may write the key may write the annotation; an instant in the future would keep the key for as long.
	suspended, err := time.Parse(time.RFC3339, key.Annotations[v1alpha1.AnnotationSuspendedUnused])
	if err == nil && suspended.After(since) && !suspended.After(now) {
		since = suspended
	}
	return since
}

// unused determines whether the key is unused, and is to be suspended for that. What is not known counts as use: there is no condition
// before every validation server that may accept the key has reported, and no suspension without the condition.
func (p *planner) unused() {
	if p.in.Group == nil || p.out.State != v1alpha1.KeyActive || !WatchesUse(&p.in.Group.Spec.KeyPolicy) {
		return
	}
	since := UnusedSince(p.in.Key, p.now)
	if since.IsZero() {
		return
	}
	for _, use := range p.in.Usage.Of {
		since = later(since, use.Last)
	}
	warn, suspend := days(p.in.Group.Spec.KeyPolicy.WarnUnusedFor), days(p.in.Group.Spec.KeyPolicy.SuspendUnusedFor)
	if warn == 0 {
		warn = suspend - leastWarning
	}
	warned := meta.FindStatusCondition(p.in.Key.Status.Conditions, v1alpha1.ConditionUnused)
	isWarned := warned != nil && warned.Status == metav1.ConditionTrue
	at := since.Add(warn)
	switch {
	case p.now.Before(at):
		p.wakeAt(at)
		return
	case !isWarned && p.in.Usage.Through.Before(at):
		p.wakeAt(p.now.Add(unusedRetry))
		return
	}
	p.out.Unused = &Unused{Since: since}
	if suspend == 0 {
		return
	}
	at = later(since.Add(suspend), p.now.Add(leastWarning))
	if isWarned {
		at = later(since.Add(suspend), warned.LastTransitionTime.Add(leastWarning))
	}
	p.out.Unused.SuspendsAt = at
	switch {
	case p.now.Before(at):
		p.wakeAt(at)
	case p.in.Usage.Through.Before(at):
		p.wakeAt(p.now.Add(unusedRetry))
	default:
		p.out.Unused.Suspend = isWarned
	}
}

// days is a length of whole days; 0 for none. The schema admits nothing else.
func days(text v1alpha1.Days) time.Duration {
	n, err := strconv.Atoi(strings.TrimSuffix(string(text), "d"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * 24 * time.Hour
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
