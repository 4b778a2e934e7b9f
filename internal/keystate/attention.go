package keystate

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// Attention is something that somebody should read first.
type Attention struct {
	// Urgent reports whether the key does not work, or a change is not in force.
	Urgent bool `json:"urgent"`
	// Reason is a reason or a type of conditions, or one of those below.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Reasons that no condition has.
const (
	// NotSeen: the manager has not looked at the ApiKey, or not at its latest edit.
	NotSeen = "NotSeen"
	// ReasonUnclaimed: the text of a version waits to be claimed.
	ReasonUnclaimed = "Unclaimed"
)

// NeverSeen is the message about an ApiKey that the manager has not looked at.
const NeverSeen = "the manager has not looked at this ApiKey yet"

// Attentions returns what somebody should know about a key, the worst first.
func Attentions(key *v1alpha1.ApiKey, now time.Time) []Attention {
	var all []Attention
	add := func(urgent bool, reason, message string) {
		all = append(all, Attention{urgent, reason, message})
	}
	conditions := key.Status.Conditions
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		add(true, NotSeen, NeverSeen)
	case ready.ObservedGeneration < key.Generation:
		add(true, NotSeen, "the manager has not looked at the latest edit yet; what follows is how it was before")
	}
	accepted := meta.FindStatusCondition(conditions, v1alpha1.ConditionAccepted)
	switch {
	case ready != nil && (ready.Status != metav1.ConditionTrue || meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled)):
		add(true, ready.Reason, ready.Message)
	case accepted != nil && accepted.Status != metav1.ConditionTrue: // as declared, such as revoked or suspended
		add(true, accepted.Reason, accepted.Message)
	}
	if at := key.Status.ExpiresAt; at != nil && key.Status.State == v1alpha1.KeyActive && !now.Before(at.Time) {
		add(true, v1alpha1.ReasonExpired, "the key has expired, and validation servers refuse it; its state does not say so yet, "+
			"so the manager is probably not running")
	}
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionEnforced); c != nil && c.Status != metav1.ConditionTrue {
		add(true, c.Reason, c.Message)
	}
	for _, kind := range []string{v1alpha1.ConditionCutoverPending, v1alpha1.ConditionExpiringSoon, v1alpha1.ConditionUnused} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil && c.Status == metav1.ConditionTrue {
			add(false, kind, c.Message)
		}
	}
	if v := Unclaimed(key); v != nil {
		add(false, ReasonUnclaimed, fmt.Sprintf("version %d waits to be claimed until %s",
			v.ID, v.DeliveredAt.Add(lifecycle.ClaimWithin).UTC().Format("2006-01-02 15:04:05 MST")))
	}
	return all
}
