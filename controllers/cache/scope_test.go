package cache

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// everything is a cache that has every object, and answers for every namespace.
type everything struct{ ctrlcache.Cache }

func (everything) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	return nil
}

func (everything) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.GroupList).Items = make([]v1alpha1.Group, 1)
	return nil
}

// TestUnwatchedNamespacesHaveNoObjects: where the manager does not watch, there is nothing, without an error; objects of the
// cluster are there.
func TestUnwatchedNamespacesHaveNoObjects(t *testing.T) {
	s := &scoped{Cache: everything{}, namespaces: []string{"watched"}}
	for namespace, there := range map[string]bool{"watched": true, "other": false} {
		err := s.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "acme"}, &v1alpha1.Group{})
		if there != (err == nil) || !there && !apierrors.IsNotFound(err) {
			t.Errorf("a Group in %s: %v", namespace, err)
		}
		var list v1alpha1.GroupList
		if err := s.List(t.Context(), &list, client.InNamespace(namespace)); err != nil || there != (len(list.Items) == 1) {
			t.Errorf("Groups in %s: %d, %v", namespace, len(list.Items), err)
		}
	}
	var list v1alpha1.GroupList
	if err := s.List(t.Context(), &list); err != nil || len(list.Items) != 1 {
		t.Errorf("Groups: %d, %v", len(list.Items), err)
	}
	if err := s.Get(t.Context(), client.ObjectKey{Name: "other"}, &corev1.Namespace{}); err != nil {
		t.Errorf("a Namespace: %v", err)
	}
}
