package v1alpha1

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// guardObject refuses to delete an object that is annotated to prevent that. It does not hold up the deletion of a namespace,
// nor that of an owner: by then the Secret of a key is deleted, too, and the namespace would never end.
func guardObject(ctx context.Context, kind string, object client.Object) error {
	if object.GetAnnotations()[v1alpha1.AnnotationPreventDeletion] != "true" {
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
