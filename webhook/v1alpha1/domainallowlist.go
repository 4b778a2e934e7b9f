package v1alpha1

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
)

type domainAllowlists struct {
	reader client.Reader
}

// ValidateCreate checks the domains, and the allowlist against its Group.
func (w *domainAllowlists) ValidateCreate(ctx context.Context, list *v1alpha1.DomainAllowlist) (admission.Warnings, error) {
	return w.validate(ctx, nil, list)
}

// ValidateUpdate checks a changed allowlist.
func (w *domainAllowlists) ValidateUpdate(ctx context.Context, old, list *v1alpha1.DomainAllowlist) (admission.Warnings, error) {
	if list.DeletionTimestamp != nil || equality.Semantic.DeepEqual(old.Spec, list.Spec) {
		return nil, nil
	}
	return w.validate(ctx, old, list)
}

// ValidateDelete allows every deletion.
func (w *domainAllowlists) ValidateDelete(context.Context, *v1alpha1.DomainAllowlist) (admission.Warnings, error) {
	return nil, nil
}

// validate checks a list that is created, or changed from old. Lists that are created at the same moment do not see each other
// here; which of them count is decided again when they are published.
func (w *domainAllowlists) validate(ctx context.Context, old, list *v1alpha1.DomainAllowlist) (admission.Warnings, error) {
	granted, err := cache.ProblemsOfAllowlist(ctx, w.reader, list)
	if err != nil {
		return nil, err
	}
	problems, warnings := split(granted)
	if granted.Admitted() {
		others, err := cache.CachedAllowlistsWith(ctx, w.reader, list)
		if err != nil {
			return nil, err
		}
		others = slices.DeleteFunc(others, func(other *v1alpha1.DomainAllowlist) bool {
			return other.Namespace == list.Namespace && other.Name == list.Name
		})
		if problem := grant.AllowlistTooLarge(old, list, others); problem != nil {
			problems = append(problems, problem)
		}
	}
	return warnings, refuse("DomainAllowlist", list.Name, append(grant.DomainProblems(list), problems...))
}
