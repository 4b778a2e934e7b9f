package cache

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxShared is how many sets of fields are remembered, and maxSharedSize is how many bytes each may have.
	maxShared     = 1024
	maxSharedSize = 4 << 10
)

// SharedFields lets Secrets of a cache share their managed fields, which are the same for almost all: each says which fields belong to
// the operator. A cache does not change its objects, and who gets one from it gets a copy.
type SharedFields struct {
	mu    sync.Mutex
	known map[string]*metav1.FieldsV1
}

// Transform is a cache.TransformFunc of client-go.
func (s *SharedFields) Transform(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	for i := range secret.ManagedFields {
		entry := &secret.ManagedFields[i]
		if entry.FieldsV1 != nil {
			entry.FieldsV1 = s.shared(entry.FieldsV1)
		}
	}
	return secret, nil
}

func (s *SharedFields) shared(fields *metav1.FieldsV1) *metav1.FieldsV1 {
	raw := fields.GetRawBytes()
	if len(raw) > maxSharedSize {
		return fields
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[string(raw)]; known != nil {
		return known
	}
	if s.known == nil || len(s.known) == maxShared { // tenants may make up as many as they like
		s.known = map[string]*metav1.FieldsV1{}
	}
	s.known[string(raw)] = fields
	return fields
}
