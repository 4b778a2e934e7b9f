// Package secretentry reads entries of Secrets in the manager's namespace.
package secretentry

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=list

// Reader reads entries of Secrets.
type Reader struct {
	// Reader reads past any cache.
	Reader client.Reader
	// Namespace of the manager. No Secret of another one is read.
	Namespace string
}

// Entry returns an entry of a Secret. No error shows what is in the Secret. It lists the Secret by its name, because the manager may list
// Secrets in its namespace, and get only some of them.
func (r *Reader) Entry(ctx context.Context, name, key string) ([]byte, error) {
	list := &corev1.SecretList{}
	err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace), client.MatchingFields{metav1.ObjectNameField: name})
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", r.Namespace, name, err)
	}
	for i := range list.Items {
		if list.Items[i].Name != name {
			continue
		}
		entry, has := list.Items[i].Data[key]
		if !has {
			return nil, fmt.Errorf("the Secret %s/%s has no entry %q; add it, or correct secretRef", r.Namespace, name, key)
		}
		return entry, nil
	}
	return nil, fmt.Errorf("there is no Secret %s/%s; create it with the entry %q, or correct secretRef", r.Namespace, name, key)
}
