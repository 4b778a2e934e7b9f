package apikey

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// groupConcernsKeys passes on changes of Groups that the status of their keys may depend on. The context does not concern them: it is
// in the record of the Group, and may change often, while a Group may have very many keys.
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
		before, after := was.Spec, is.Spec
		before.Context, after.Context, before.SealedContext, after.SealedContext = nil, nil, nil, nil
		return was.UID != is.UID || is.DeletionTimestamp != nil || !equality.Semantic.DeepEqual(before, after)
	}}
}
