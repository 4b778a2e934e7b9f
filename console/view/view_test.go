package view

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/role"
)

const day = 24 * time.Hour

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func sight(r role.Role) *Sight {
	return &Sight{Group: place.Group{Namespace: "acme", Name: "acme"}, Role: r, Now: now}
}

func at(d time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(now.Add(d))) }

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}
}

// acme is a Group as the manager leaves it.
func acme(change ...func(*v1alpha1.Group)) *v1alpha1.Group {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme", UID: "1"}}
	group.Spec = v1alpha1.GroupSpec{
		Tier: "Pro", State: v1alpha1.GroupActive,
		Projects: []v1alpha1.Project{
			{Name: "media", Routes: []v1alpha1.Route{{Paths: []string{"/any"}}, {Hosts: []string{"*.cdn.acme.example"}, Paths: []string{"/api/scenes/mkt-*"}}}},
			{Name: "maps", Routes: []v1alpha1.Route{{Hosts: []string{"maps.acme.example"}, Paths: []string{"/tiles/**"}}}},
		},
		Capabilities: []v1alpha1.Capability{{Name: "checkout"}},
		KeyPolicy:    v1alpha1.KeyPolicy{MaxLifetime: "90d"},
	}
	group.Status.ObservedGeneration = 1
	group.Status.Keys = &v1alpha1.GroupKeys{Active: ptr.To[int32](4), Limit: ptr.To[int32](10)}
	group.Status.Limits = &v1alpha1.GroupLimits{Tier: "Pro", Limits: v1alpha1.Limits{RequestsPerMonth: ptr.To[int64](500_000)}}
	group.Status.Usage = &v1alpha1.UsageTotals{Period: "2026-11", UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](402_118)}}
	for _, f := range change {
		f(group)
	}
	return group
}

// web is a key that was rotated two days ago.
func web(change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web", Generation: 2}}
	key.Spec = v1alpha1.ApiKeySpec{
		GroupRef: v1alpha1.GroupReference{Name: "acme"}, Projects: []v1alpha1.ProjectName{"media", "maps"},
		Permissions: []v1alpha1.PermissionName{"read"}, Description: "The web shop.", ExpiresAfter: "90d", Clients: v1alpha1.ClientsServer,
		Addresses: []v1alpha1.AddressPrefix{"192.0.2.0/24"}, Rotation: v1alpha1.Rotation{Overlap: "24h"},
		Secret: v1alpha1.SecretSpec{Reveal: v1alpha1.RevealMounted},
	}
	key.Status = v1alpha1.ApiKeyStatus{
		ObservedGeneration: 2, KeyID: "k7", State: v1alpha1.KeyActive, Preview: "kw_…9f3a", CreatedBy: "ada@acme.example",
		ExpiresAt: at(88 * day), NextRotationAt: at(28 * day), LastUsedAt: at(-3 * time.Minute), SecretRef: &v1alpha1.SecretReference{Name: "web-secret"},
		Usage: &v1alpha1.KeyRequests{Period: "2026-11", Requests: ptr.To[int64](9000), Days: &v1alpha1.KeyDays{Last: "2026-11-27",
			Requests: []int64{100, 200, 0, 0, 0, 0, 40, 5000}}},
		Versions: []v1alpha1.KeyVersion{
			{ID: 1, State: v1alpha1.VersionRetiring, Preview: "kw_…77b0", MintedAt: *at(-30 * day), DeliveredAt: at(-30 * day), ReplacedAt: at(-2 * day),
				RetiresAt: at(5 * day), ExpiresAt: at(60 * day), LastUsedAt: at(-time.Hour)},
			{ID: 2, State: v1alpha1.VersionActive, Preview: "kw_…9f3a", MintedAt: *at(-2 * day), DeliveredAt: at(-2 * day), ExpiresAt: at(88 * day),
				LastUsedAt: at(-3 * time.Minute)},
		},
		Enforcement: &v1alpha1.Enforcement{Servers: ptr.To[int32](3), Acknowledged: ptr.To[int32](1), Latency: "3.4ms", WaitingFor: []string{"edge-a"},
			Disconnected: []string{"edge-b"}, Rejecting: []v1alpha1.RejectingServer{{Server: "old", Reason: "unknown field"}}},
		Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "Ready.")},
	}
	key.Status.Conditions[0].ObservedGeneration = 2
	for _, f := range change {
		f(key)
	}
	return key
}

func with(kind string, status metav1.ConditionStatus, reason, message string) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) {
		k.Status.Conditions = append(k.Status.Conditions, condition(kind, status, reason, message))
	}
}

func state(s v1alpha1.KeyState) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) { k.Status.State = s }
}

func suspended(k *v1alpha1.ApiKey) {
	k.Spec.Suspended, k.Status.State = ptr.To(true), v1alpha1.KeySuspended
}
func revoked(k *v1alpha1.ApiKey) { k.Spec.Revoked, k.Status.State = ptr.To(true), v1alpha1.KeyRevoked }
func once(k *v1alpha1.ApiKey)    { k.Spec.Secret.Reveal = v1alpha1.RevealOnce }

func TestRefers(t *testing.T) {
	of := place.Group{Namespace: "acme", Name: "acme"}
	for _, c := range []struct {
		reference v1alpha1.GroupReference
		namespace string
		want      bool
	}{
		{v1alpha1.GroupReference{Name: "acme"}, "acme", true},
		{v1alpha1.GroupReference{Name: "acme"}, "shop", false},
		{v1alpha1.GroupReference{Name: "acme", Namespace: "acme"}, "shop", true},
		{v1alpha1.GroupReference{Name: "acme", Namespace: "shop"}, "acme", false},
		{v1alpha1.GroupReference{Name: "other"}, "acme", false},
	} {
		if got := Refers(c.reference, c.namespace, of); got != c.want {
			t.Errorf("%+v in %s: %t", c.reference, c.namespace, got)
		}
	}
}
