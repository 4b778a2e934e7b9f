package group

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestUsageDoesNotReconcile: a write of usage, with the conditions that it causes, does not reconcile a Group; every other
// change does.
func TestUsageDoesNotReconcile(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus) func(*v1alpha1.Group) {
		return func(g *v1alpha1.Group) {
			meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: kind})
		}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.Group)
		want   bool
	}{
		"usage": {func(g *v1alpha1.Group) {
			g.Status.Usage = &v1alpha1.UsageTotals{Period: "2026-11", UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To[int64](2)}}
			g.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "keyward-manager"}}
		}, false},
		"a quota that has become low": {condition(v1alpha1.ConditionQuotaLow, metav1.ConditionTrue), true},
		"nothing, as in a resync":     {func(g *v1alpha1.Group) { g.ResourceVersion = "1" }, true},
		"spec":                        {func(g *v1alpha1.Group) { g.Generation = 2 }, true},
		"a label":                     {func(g *v1alpha1.Group) { g.Labels = map[string]string{"a": "b"} }, true},
		"its deletion":                {func(g *v1alpha1.Group) { g.DeletionTimestamp = ptr.To(metav1.Now()) }, true},
		"limits":                      {func(g *v1alpha1.Group) { g.Status.Limits = nil }, true},
		"another condition":           {condition(v1alpha1.ConditionReady, metav1.ConditionFalse), true},
	} {
		t.Run(name, func(t *testing.T) {
			was := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Name: "acme", Generation: 1, ResourceVersion: "1"}}
			was.Status.Limits = &v1alpha1.GroupLimits{Tier: "Pro"}
			condition(v1alpha1.ConditionReady, metav1.ConditionTrue)(was)
			is := was.DeepCopy()
			is.ResourceVersion = "2"
			c.change(is)
			if got := notOnlyUsage().Update(event.UpdateEvent{ObjectOld: was, ObjectNew: is}); got != c.want {
				t.Errorf("%t", got)
			}
		})
	}
}
