package cache_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/controllers/cache"
)

func secretWith(fields ...string) *corev1.Secret {
	secret := &corev1.Secret{}
	for i, raw := range fields {
		entry := metav1.ManagedFieldsEntry{Manager: fmt.Sprint("m", i), FieldsV1: &metav1.FieldsV1{}}
		entry.FieldsV1.SetRawBytes([]byte(raw))
		secret.ManagedFields = append(secret.ManagedFields, entry)
	}
	return secret
}

// TestSharedFields: equal fields are one object, others are not, and nothing of a Secret changes.
func TestSharedFields(t *testing.T) {
	var s cache.SharedFields
	transform := func(fields ...string) *corev1.Secret {
		t.Helper()
		secret := secretWith(fields...)
		out, err := s.Transform(secret)
		if err != nil || out != any(secret) {
			t.Fatalf("got %v, %v", out, err)
		}
		for i := range fields {
			if got := string(secret.ManagedFields[i].FieldsV1.GetRawBytes()); got != fields[i] {
				t.Fatalf("%q became %q", fields[i], got)
			}
		}
		return secret
	}
	ours, large := `{"f:data":{"f:api-key":{}}}`, `{"f:data":{"f:`+strings.Repeat("a", 5000)+`":{}}}`
	one, two := transform(ours, `{}`, large), transform(`{}`, ours, large)
	if one.ManagedFields[0].FieldsV1 != two.ManagedFields[1].FieldsV1 || one.ManagedFields[1].FieldsV1 != two.ManagedFields[0].FieldsV1 {
		t.Error("equal fields are not shared")
	}
	if one.ManagedFields[2].FieldsV1 == two.ManagedFields[2].FieldsV1 {
		t.Error("large fields are remembered")
	}
	for i := range 5000 { // more than are remembered
		transform(fmt.Sprintf(`{"f:data":{"f:%d":{}}}`, i))
	}
	if transform(ours).ManagedFields[0].FieldsV1 == one.ManagedFields[0].FieldsV1 {
		t.Error("fields are remembered for ever")
	}
	without := secretWith("{}")
	without.ManagedFields[0].FieldsV1 = nil
	if _, err := s.Transform(without); err != nil || without.ManagedFields[0].FieldsV1 != nil {
		t.Error(err)
	}
}
