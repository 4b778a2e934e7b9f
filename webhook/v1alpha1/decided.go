package v1alpha1

import (
	"context"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// decided returns the validator, whose errors other than refusals become 500: those that the API server gives to the manager, such as
// that it may not ask something, would otherwise look like decisions about the object.
func decided[T runtime.Object](validator admission.Validator[T]) admission.Validator[T] {
	return decisions[T]{validator}
}

type decisions[T runtime.Object] struct{ admission.Validator[T] }

func (d decisions[T]) ValidateCreate(ctx context.Context, object T) (admission.Warnings, error) {
	warnings, err := d.Validator.ValidateCreate(ctx, object)
	return warnings, decision(ctx, err)
}

func (d decisions[T]) ValidateUpdate(ctx context.Context, old, object T) (admission.Warnings, error) {
	warnings, err := d.Validator.ValidateUpdate(ctx, old, object)
	return warnings, decision(ctx, err)
}

func (d decisions[T]) ValidateDelete(ctx context.Context, object T) (admission.Warnings, error) {
	warnings, err := d.Validator.ValidateDelete(ctx, object)
	return warnings, decision(ctx, err)
}

var errUndecided = errors.New("the manager cannot decide about it at present; try again, and if it stays so, the platform finds why in " +
	"the manager's log")

// decision returns a refusal as it is. Of other errors only the log has the text: they are about the manager and not about the user.
func decision(ctx context.Context, err error) error {
	var is *refusal
	if err == nil || errors.As(err, &is) {
		return err
	}
	logf.FromContext(ctx).Error(err, "Cannot decide an admission review")
	return apierrors.NewInternalError(errUndecided)
}

// undecided is the answer of a handler that cannot decide.
func undecided(ctx context.Context, err error) admission.Response {
	return admission.Errored(http.StatusInternalServerError, decision(ctx, err))
}
