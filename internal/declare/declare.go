// Package declare makes the changes by which people suspend, resume, revoke and rotate ApiKeys, so that they last where the ApiKey is kept in
// Git: whoever sends one names its own field manager, which no GitOps tool takes over. It is pure.
package declare

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Change returns what a field manager applies (server-side, with force) so that spec.suspended and spec.revoked of a key become what
// change makes of them. It is to be applied, and not patched: a patch that makes no difference, because somebody has set the same before, would
// leave the field to them alone, and what removes it there would undo what is declared here.
func Change(key *v1alpha1.ApiKey, manager string, change func(*v1alpha1.ApiKeySpec)) ([]byte, error) {
	declared := v1alpha1.ApiKeySpec{}
	suspended, revoked := before(key, manager) // what is not applied again is removed
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
		return nil, fmt.Errorf("write the change: %w", err)
	}
	return manifest, nil
}

// before reports which of the fields the manager has applied earlier.
func before(key *v1alpha1.ApiKey, manager string) (suspended, revoked bool) {
	for i := range key.ManagedFields {
		entry := &key.ManagedFields[i]
		if entry.Manager != manager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
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

// Rotation sets the annotation of a key that requests a rotation, or removes it if the request is empty.
func Rotation(key *v1alpha1.ApiKey, request string) {
	if request == "" {
		delete(key.Annotations, v1alpha1.AnnotationRotateRequestedAt)
		return
	}
	if key.Annotations == nil {
		key.Annotations = map[string]string{}
	}
	key.Annotations[v1alpha1.AnnotationRotateRequestedAt] = request
}
