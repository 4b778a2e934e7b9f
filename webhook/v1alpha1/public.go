package v1alpha1

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
)

// maxOthers is how many other Groups a Group is compared with at most. They are listed for that, and its author waits.
const maxOthers = 10_000

// publicWarnings are about public paths that are not public, or more than was meant. It looks at other Groups only if this one has
// public paths, and its projects change.
func (w *groups) publicWarnings(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	if !grant.HasPublic(group) || equality.Semantic.DeepEqual(old.Spec.Projects, group.Spec.Projects) {
		return nil, nil
	}
	others, err := cache.CachedGroups(ctx, w.reader, client.Limit(maxOthers))
	if err != nil {
		return nil, err
	}
	return grant.PublicWarnings(group, others), nil
}
