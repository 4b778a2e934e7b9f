package apikey

import (
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// groupConcernsKeys passes on changes of Groups that the status of their keys may depend on.
func groupConcernsKeys() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, _ := e.ObjectOld.(*v1alpha1.Group)
		is, _ := e.ObjectNew.(*v1alpha1.Group)
		if was == nil || is == nil {
			return true
		}
		if was.Generation == is.Generation && was.UID == is.UID {
			return false
		}
		return was.UID != is.UID || is.DeletionTimestamp != nil || grant.ConcernsKeys(was.Spec, is.Spec)
	}}
}
