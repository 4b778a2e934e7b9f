package keystate

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func condition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "about " + reason}
}

func TestEnded(t *testing.T) {
	for want, key := range map[Ending]v1alpha1.ApiKey{
		"":       {Status: v1alpha1.ApiKeyStatus{State: v1alpha1.KeySuspended}},
		Deleting: {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: ptr.To(metav1.NewTime(now))}, Spec: v1alpha1.ApiKeySpec{Revoked: ptr.To(true)}},
		Revoked:  {Spec: v1alpha1.ApiKeySpec{Revoked: ptr.To(true)}, Status: v1alpha1.ApiKeyStatus{State: v1alpha1.KeyActive}},
		Expired:  {Status: v1alpha1.ApiKeyStatus{State: v1alpha1.KeyExpired}},
	} {
		if got := Ended(&key); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}

func TestUnclaimed(t *testing.T) {
	key := &v1alpha1.ApiKey{}
	key.Status.Versions = []v1alpha1.KeyVersion{{ID: 3, State: v1alpha1.VersionActive, DeliveredAt: ptr.To(metav1.NewTime(now))}}
	if v := Unclaimed(key); v != nil {
		t.Errorf("a mounted key has version %d to claim", v.ID)
	}
	key.Spec.Secret.Reveal = v1alpha1.RevealOnce
	if v := Unclaimed(key); v == nil || v.ID != 3 {
		t.Errorf("not to claim: %v", v)
	}
	key.Status.Versions[0].ClaimedAt = ptr.To(metav1.NewTime(now))
	if v := Unclaimed(key); v != nil {
		t.Errorf("version %d was claimed", v.ID)
	}
}

// TestAttentions: what makes a key useless comes before what will.
func TestAttentions(t *testing.T) {
	texts := func(key *v1alpha1.ApiKey) (all []string) {
		for _, at := range Attentions(key, now) {
			text := at.Reason + ": " + at.Message
			if at.Urgent {
				text = "! " + text
			}
			all = append(all, text)
		}
		return all
	}
	key := &v1alpha1.ApiKey{}
	key.Status.State = v1alpha1.KeyActive
	key.Status.ExpiresAt = ptr.To(metav1.NewTime(now))
	key.Status.Conditions = []metav1.Condition{
		condition(v1alpha1.ConditionUnused, metav1.ConditionTrue, v1alpha1.ReasonNotUsed),
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonGroupFrozen),
		condition(v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForServers),
	}
	want := []string{
		"! GroupFrozen: about GroupFrozen",
		"! Expired: the key has expired, and validation servers refuse it; its state does not say so yet, so the manager is probably not running",
		"! WaitingForServers: about WaitingForServers",
		"Unused: about NotUsed",
	}
	got := texts(key)
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, expected %q", got[i], want[i])
		}
	}
	if got := texts(&v1alpha1.ApiKey{}); len(got) != 1 || got[0] != "! NotSeen: "+NeverSeen {
		t.Errorf("a new key: %q", got)
	}
}
