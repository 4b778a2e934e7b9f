package apikey

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestGroupConcernsKeys: the keys of a Group are reconciled when its spec changes, but not for its context, nor for its metadata.
func TestGroupConcernsKeys(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.Group)
		want   bool
	}{
		"resync": {func(*v1alpha1.Group) {}, false},
		"labels": {func(g *v1alpha1.Group) { g.Labels = map[string]string{"a": "b"} }, false},
		"context": {func(g *v1alpha1.Group) {
			g.Generation++
			g.Spec.Context = map[string]v1alpha1.ContextValue{"database": "b"}
		}, false},
		"project": {func(g *v1alpha1.Group) { g.Generation++; g.Spec.Projects = []v1alpha1.Project{{Name: "shop"}} }, true},
		"both": {func(g *v1alpha1.Group) {
			g.Generation++
			g.Spec.Context, g.Spec.Projects = nil, []v1alpha1.Project{{Name: "shop"}}
		}, true},
		"deletion": {func(g *v1alpha1.Group) { g.Generation++; g.DeletionTimestamp = new(metav1.Now()) }, true},
		"another":  {func(g *v1alpha1.Group) { g.UID = "two" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			was := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{UID: "one", Generation: 1}}
			was.Spec.Context = map[string]v1alpha1.ContextValue{"database": "a"}
			is := was.DeepCopy()
			c.change(is)
			if got := groupConcernsKeys().Update(event.UpdateEvent{ObjectOld: was, ObjectNew: is}); got != c.want {
				t.Errorf("it concerns the keys: %t", got)
			}
		})
	}
}
