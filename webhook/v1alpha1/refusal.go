package v1alpha1

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// answer turns a problem into a refusal. A Group that is not there, or does not admit the namespace, is only
// warned about: it may be applied a moment later, from the same directory even. That both are answered alike
// also keeps it from whoever asks from another namespace which Groups there are.
func answer(kind, name string, problem *grant.Problem) (admission.Warnings, error) {
	if problem == nil {
		return nil, nil
	}
	if problem.Reason == v1alpha1.ReasonGroupNotFound || problem.Reason == v1alpha1.ReasonNamespaceNotAllowed {
		return admission.Warnings{problem.Error()}, nil
	}
	return nil, refuse(kind, name, problem)
}

// refuse refuses an object, with the field's path and what mends it.
func refuse(kind, name string, problem *grant.Problem) error {
	return refuseFields(kind, name, problem.Reason, field.ErrorList{fieldError(problem)})
}

func fieldError(problem *grant.Problem) *field.Error {
	return &field.Error{Type: field.ErrorTypeForbidden, Field: problem.Field, Detail: problem.Message}
}

// refuseFields refuses an object for all that is wrong with it.
func refuseFields(kind, name, reason string, problems field.ErrorList) error {
	refusals.WithLabelValues(kind, reason).Inc()
	return apierrors.NewInvalid(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}, name, problems)
}
