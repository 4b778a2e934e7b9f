package v1alpha1

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// guardSecrets returns the Secrets of the sealed context that the user may not read: the manager does it with its own rights, and
// whoever has a content server would read them. Those that the Group had before are not checked again.
func (w *groups) guardSecrets(ctx context.Context, old, group *v1alpha1.Group) (grant.Problems, error) {
	reviewed := map[string]bool{}
	for i := range old.Spec.SealedContext {
		reviewed[old.Spec.SealedContext[i].SecretKeyRef.Name] = true
	}
	var problems grant.Problems
	for i := range group.Spec.SealedContext {
		name := group.Spec.SealedContext[i].SecretKeyRef.Name
		if reviewed[name] {
			continue
		}
		reviewed[name] = true
		request, err := admission.RequestFromContext(ctx)
		if err != nil {
			return nil, err
		}
		allowed, err := w.access.may(ctx, request.UserInfo, authorizationv1.ResourceAttributes{
			Namespace: group.Namespace, Version: "v1", Resource: "secrets", Name: name, Verb: "get",
		})
		if err != nil {
			return nil, err
		}
		if !allowed {
			problems = append(problems, &grant.Problem{
				Reason: v1alpha1.ReasonSecretRefused, Type: field.ErrorTypeForbidden,
				Field: fmt.Sprintf("spec.sealedContext[%d].secretKeyRef.name", i),
				Message: fmt.Sprintf("%s may not get Secret %q in namespace %q; ask for the right to, or let somebody write this who has it",
					nameOf(request.UserInfo), shown(name), group.Namespace),
			})
		}
	}
	return problems, nil
}
