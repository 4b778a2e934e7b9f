package v1alpha1

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// guardObject refuses to delete an object that is annotated to prevent that. It does not hold up the deletion of a namespace,
// nor that of an owner: by then the Secret of a key is deleted, too, and the namespace would never end.
func guardObject(ctx context.Context, kind string, object client.Object) error {
	if !guarded(object) {
		return nil
	}
	request, err := admission.RequestFromContext(ctx)
	if err != nil || slices.Contains(cleaners, request.UserInfo.Username) {
		return err
	}
	singular := strings.ToLower(kind)
	return forbid(ctx, kind, object.GetName(), v1alpha1.ReasonDeletionPrevented,
		fmt.Errorf("it has the annotation %[1]s; to delete it, remove that first: kubectl -n %[2]s annotate %[3]s.%[4]s %[5]s %[1]s-",
			v1alpha1.AnnotationPreventDeletion, object.GetNamespace(), singular, v1alpha1.GroupVersion.Group, object.GetName()))
}

// guarded reports whether an object is annotated to prevent its deletion: by any value that does not say that it is not. Admission
// refuses odd values, but those of before are not worth a key.
func guarded(object client.Object) bool {
	value, has := object.GetAnnotations()[v1alpha1.AnnotationPreventDeletion]
	return has && !strings.EqualFold(strings.TrimSpace(value), "false")
}

// guardProblems returns what is wrong with the guard that a request sets: a value that is neither true nor false, and a new owner
// of a guarded object: the garbage collector deletes the object when that owner is deleted or does not exist. For a new object,
// old has nothing.
func guardProblems(ctx context.Context, old, object client.Object) (grant.Problems, error) {
	const name = v1alpha1.AnnotationPreventDeletion
	var problems grant.Problems
	value, has := object.GetAnnotations()[name]
	was, had := old.GetAnnotations()[name]
	if has && (!had || value != was) && !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		problems = append(problems, &grant.Problem{
			Reason: v1alpha1.ReasonInvalidSpec, Field: "metadata.annotations[" + name + "]", Value: value,
			Message: `write "true" to prevent the deletion, or remove the annotation`,
		})
	}
	owners := false
	if guarded(object) {
		var err error
		if owners, err = ownersSet(ctx, old, object); err != nil {
			return nil, err
		}
	}
	if owners {
		problems = append(problems, &grant.Problem{
			Reason: v1alpha1.ReasonInvalidSpec, Field: "metadata.ownerReferences",
			Message: "the garbage collector deletes the object with its owner, or at once if that does not exist, as with a manifest from " +
				"another cluster, and " + name + " does not prevent that; remove the owner from the manifest, or the annotation first",
		})
	}
	return problems, nil
}
