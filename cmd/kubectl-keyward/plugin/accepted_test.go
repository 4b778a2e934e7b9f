package plugin

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestResumedIsNotAccepted resumes a key of a Group that is frozen. It is Ready, as declared, and cannot be used.
func TestResumedIsNotAccepted(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	inLive(t, "", "suspend", key.Name).expect(t, 0)
	declare := func(state v1alpha1.GroupState) {
		t.Helper()
		g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: key.Name}}
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"state":"`+string(state)+`"}}`))
		if err := admin.Patch(t.Context(), g, patch); err != nil {
			t.Fatal(err)
		}
	}
	declare(v1alpha1.GroupFrozen)
	eventually(t, "the key knows of its Group", func() bool {
		c := meta.FindStatusCondition(current(t, key).Status.Conditions, v1alpha1.ConditionAccepted)
		return c != nil && c.Reason == v1alpha1.ReasonGroupFrozen
	})
	inLive(t, "", "resume", key.Name).expect(t, ExitRefused, "is Suspended: in force on 1 of 1 servers",
		"is resumed, and still not accepted (GroupFrozen", "until its spec.state is Active again")
	if !meta.IsStatusConditionTrue(current(t, key).Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("not as it is declared: %+v", key.Status)
	}
	inLive(t, "", "status", key.Name).expect(t, 0, "! GroupFrozen:")
	declare(v1alpha1.GroupActive)
	eventually(t, "the key is accepted", func() bool {
		return meta.IsStatusConditionTrue(current(t, key).Status.Conditions, v1alpha1.ConditionAccepted)
	})
	inLive(t, "", "suspend", key.Name).expect(t, 0)
	inLive(t, "", "resume", key.Name).expect(t, 0, "is Active: in force on 1 of 1 servers")
}
