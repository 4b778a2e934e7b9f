package quota

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestKeyFollowerForgets: nothing is kept of a group whose last key with a quota is deleted.
func TestKeyFollowerForgets(t *testing.T) {
	f := &KeyFollower{
		Aggregator: New(Config{Clock: clocktesting.NewFakeClock(metav1.Now().Time)}),
		quotas:     map[types.NamespacedName]*keyQuotas{}, foreign: map[types.NamespacedName]map[types.NamespacedName]struct{}{},
	}
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web"}}
	key.Spec.GroupRef.Name, key.Spec.Limits.RequestsPerMonth, key.Status.KeyID = "acme", ptr.To[int64](5), "k1"
	f.set(t.Context(), key)
	if len(f.quotas) != 1 || len(f.Aggregator.keys) != 1 {
		t.Fatalf("%v, %v", f.quotas, f.Aggregator.keys)
	}
	f.forget(key)
	if len(f.quotas)+len(f.foreign)+len(f.Aggregator.keys) != 0 {
		t.Errorf("%v, %v, %v are kept", f.quotas, f.foreign, f.Aggregator.keys)
	}
}
