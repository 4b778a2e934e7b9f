package apikey

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWritersOf: a manager that applies stringData, as manifests in Git have it, owns that and not data.
func TestWritersOf(t *testing.T) {
	secret := &corev1.Secret{}
	for manager, fields := range map[string]string{
		"keyward":              `{"f:data":{"f:api-key":{}}}`,
		"vault-sync":           `{"f:data":{".":{},"f:api-key":{}}}`,
		"kustomize-controller": `{"f:stringData":{"f:api-key":{}}}`,
		"labels":               `{"f:metadata":{"f:labels":{"f:api-key":{}}}}`,
		"another-entry":        `{"f:data":{"f:other":{}},"f:stringData":{"f:other":{}}}`,
	} {
		secret.ManagedFields = append(secret.ManagedFields, metav1.ManagedFieldsEntry{
			Manager: manager, FieldsV1: metav1.NewFieldsV1(fields),
		})
	}
	if got, want := writersOf(secret), []string{"kustomize-controller", "vault-sync"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
