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
	if list.DeletionTimestamp != nil {
		return nil, nil
	}
	if equality.Semantic.DeepEqual(old.Spec, list.Spec) {
		guard, err := guardProblems(ctx, old, list)
		if err != nil {
			return nil, err
		}
		return nil, refuse(ctx, "DomainAllowlist", list.Name, guard)
	}
	return w.validate(ctx, old, list)
}

// ValidateDelete refuses to delete an allowlist that is annotated to prevent that.
func (w *domainAllowlists) ValidateDelete(ctx context.Context, list *v1alpha1.DomainAllowlist) (admission.Warnings, error) {
	return nil, guardObject(ctx, "DomainAllowlist", list)
}

// validate checks a list that is created, or changed from old. Lists that are created at the same moment do not see each other
// here; which of them count is decided again when they are published.
func (w *domainAllowlists) validate(ctx context.Context, old, list *v1alpha1.DomainAllowlist) (admission.Warnings, error) {
	granted, err := cache.ProblemsOfAllowlist(ctx, w.reader, list)
	if err != nil {
		return nil, err
	}
	problems, elsewhere := granted.Split()
	before := old
	if before == nil {
		before = &v1alpha1.DomainAllowlist{}
	}
	guard, err := guardProblems(ctx, before, list)
	if err != nil {
		return nil, err
	}
	problems = append(problems, guard...)
	if old != nil {
		if problem := moved(old.Spec.GroupRef, list.Spec.GroupRef, list.Namespace); problem != nil {
			problems = append(problems, problem)
		}
	}
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
	return append(elsewhere.Warnings(), grant.SharedDomains(list).Warnings()...), refuse(ctx, "DomainAllowlist", list.Name, append(grant.DomainProblems(list), problems...))
}
