package declare

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

func suspend(spec *v1alpha1.ApiKeySpec) { spec.Suspended = ptr.To(true) }

// TestChange: what the manager has applied before is applied again, and what others have set is left to them.
func TestChange(t *testing.T) {
	managed := func(manager, fields string, operation metav1.ManagedFieldsOperationType) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const head = `{"apiVersion":"keyward.dev/v1alpha1","kind":"ApiKey","metadata":{"name":"web","namespace":"acme","uid":"42"},"spec":`
	for name, c := range map[string]struct {
		spec    v1alpha1.ApiKeySpec
		fields  []metav1.ManagedFieldsEntry
		change  func(*v1alpha1.ApiKeySpec)
		applied string
	}{
		"a new key": {change: suspend, applied: `{"suspended":true}`},
		"resume":    {change: func(s *v1alpha1.ApiKeySpec) { s.Suspended = ptr.To(false) }, applied: `{"suspended":false}`},
		"suspended by us": {
			spec:   v1alpha1.ApiKeySpec{Suspended: ptr.To(true)},
			fields: []metav1.ManagedFieldsEntry{managed("us", `{"f:spec":{"f:suspended":{}}}`, metav1.ManagedFieldsOperationApply)},
			change: func(s *v1alpha1.ApiKeySpec) { s.Revoked = ptr.To(true) }, applied: `{"revoked":true,"suspended":true}`,
		},
		"suspended by others": {
			spec:   v1alpha1.ApiKeySpec{Suspended: ptr.To(true)},
			fields: []metav1.ManagedFieldsEntry{managed("them", `{"f:spec":{"f:suspended":{}}}`, metav1.ManagedFieldsOperationApply)},
			change: func(s *v1alpha1.ApiKeySpec) { s.Revoked = ptr.To(true) }, applied: `{"revoked":true}`,
		},
		"what is no JSON": {
			fields: []metav1.ManagedFieldsEntry{managed("us", `{`, metav1.ManagedFieldsOperationApply)},
			change: suspend, applied: `{"suspended":true}`,
		},
	} {
		key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web", UID: "42", ManagedFields: c.fields}, Spec: c.spec}
		manifest, err := Change(key, "us", c.change)
		if want := head + c.applied + "}"; err != nil || string(manifest) != want {
			t.Errorf("%s: %v\n%s, expected\n%s", name, err, manifest, want)
		}
	}
}

func TestRotation(t *testing.T) {
	key := &v1alpha1.ApiKey{}
	Rotation(key, "2026-11-27T08:00:00Z-abc")
	if got := key.Annotations[v1alpha1.AnnotationRotateRequestedAt]; got != "2026-11-27T08:00:00Z-abc" {
		t.Errorf("the request is %q", got)
	}
	if Rotation(key, ""); len(key.Annotations) != 0 {
		t.Errorf("annotations are left: %v", key.Annotations)
	}
}
