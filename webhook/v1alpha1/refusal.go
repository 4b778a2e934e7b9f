package v1alpha1

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// split separates the problems that refuse an object from those that are only warnings: that the Group does not exist or
// does not admit the namespace. The Group may be applied a moment later, even from the same directory. That both cases
// get the same answer also keeps users of other namespaces from finding out which Groups exist.
func split(granted grant.Problems) (problems grant.Problems, warnings admission.Warnings) {
	if granted.Admitted() {
		return granted, nil
	}
	return nil, admission.Warnings{granted.First().Error()}
}

// refuse refuses an object for all its problems, or returns nil where there are none. The answer is 422 Invalid with a
// cause for each problem, also where a part of the problems is Forbidden: that the user may not set a field. It is 403
// Forbidden only where no other field would do instead: a deletion, and what the manager would do for a user who may not
// do it.
func refuse(kind, name string, problems grant.Problems) error {
	if len(problems) == 0 {
		return nil
	}
	refusals.WithLabelValues(kind, problems.First().Reason).Inc()
	return apierrors.NewInvalid(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}, name, problems.ErrorList())
}
