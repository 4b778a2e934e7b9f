package plugin

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// fieldOwner is the name under which the plugin's edits are recorded. Flux takes over what managers have set whose names begin
// with kubectl, and removes it where Git does not have it: a suspension would end at its next run.
const fieldOwner = client.FieldOwner("keyward-cli")

// patch declares what a change sets of spec.suspended and spec.revoked. It is applied, and not patched: a patch that makes no
// difference, because somebody has set the same before, would leave the field to them alone, and what removes it there
// would undo what the plugin has declared.
func (s *session) patch(ctx context.Context, key *v1alpha1.ApiKey, change func(*v1alpha1.ApiKeySpec)) error {
	declared := v1alpha1.ApiKeySpec{}
	suspended, revoked := declaredBefore(key) // what is not applied again is removed
	if suspended {
		declared.Suspended = key.Spec.Suspended
	}
	if revoked {
		declared.Revoked = key.Spec.Revoked
	}
	change(&declared)
	spec := map[string]any{}
	for name, value := range map[string]*bool{"suspended": declared.Suspended, "revoked": declared.Revoked} {
		if value != nil {
			spec[name] = ptr.Deref(value, false)
		}
	}
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "ApiKey",
		// With the UID, a key that was deleted meanwhile is not created.
		"metadata": map[string]any{"namespace": key.Namespace, "name": key.Name, "uid": key.UID},
		"spec":     spec,
	})
	if err != nil {
		return fmt.Errorf("write the change: %w", err)
	}
	return s.Patch(ctx, key, client.RawPatch(types.ApplyPatchType, manifest), fieldOwner, client.ForceOwnership)
}

// declaredBefore reports which of the fields the plugin has applied earlier.
func declaredBefore(key *v1alpha1.ApiKey) (suspended, revoked bool) {
	for i := range key.ManagedFields {
		entry := &key.ManagedFields[i]
		if entry.Manager != string(fieldOwner) || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue
		}
		_, suspended = fields.Spec["f:suspended"]
		_, revoked = fields.Spec["f:revoked"]
	}
	return suspended, revoked
}
