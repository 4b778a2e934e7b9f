package v1alpha1

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// refuse refuses an object for all its problems, or returns nil where there are none. The answer is 422 Invalid with a
// cause for each problem, also where a part of the problems is Forbidden: that the user may not set a field. It is 403
// Forbidden only where no other field would do instead: a deletion, and what the manager would do for a user who may not
// do it.
func refuse(ctx context.Context, kind, name string, problems grant.Problems) error {
	if len(problems) == 0 {
		return nil
	}
	countRefusal(ctx, kind, problems.First().Reason)
	return &refusal{apierrors.NewInvalid(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}, name, problems.ErrorList())}
}

// forbid refuses with 403 Forbidden, and is counted with the reason.
func forbid(ctx context.Context, kind, name, reason string, because error) error {
	countRefusal(ctx, kind, reason)
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: strings.ToLower(kind) + "s"}
	return &refusal{apierrors.NewForbidden(resource, name, because)}
}

// refusal is a decision. All other errors of a validator are why there is none.
type refusal struct{ *apierrors.StatusError }

// countRefusal counts a refusal, unless it is of a dry-run: tools for GitOps try what they apply every few minutes.
func countRefusal(ctx context.Context, kind, reason string) {
	request, err := admission.RequestFromContext(ctx)
	if err == nil && request.DryRun != nil && *request.DryRun {
		return
	}
	refusals.WithLabelValues(kind, reason).Inc()
}

// moved returns the problem of an object that is changed to refer to another Group, or nil. The schema cannot know that to
// name the object's own namespace changes nothing.
func moved(old, is v1alpha1.GroupReference, namespace string) *grant.Problem {
	oldNamespace, oldName := grant.GroupKey(old, namespace)
	groupNamespace, name := grant.GroupKey(is, namespace)
	if oldNamespace == groupNamespace && oldName == name {
		return nil
	}
	return &grant.Problem{
		Reason: v1alpha1.ReasonInvalidSpec, Field: "spec.groupRef", Value: groupNamespace + "/" + name,
		Message: "it stays with Group " + oldNamespace + "/" + oldName + "; create a new object for another Group",
	}
}
