package cache

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// ByRequest finds KeyRequestReviews by namespace/name of their KeyRequest.
const ByRequest = "request"

// RequestIsBeyond reports whether as many older requests as there may be of the namespace, or of the Group, are undecided. Only those count
// for the Group that it accepts. A request that does not exist yet is the youngest.
func RequestIsBeyond(ctx context.Context, reader client.Reader, request *v1alpha1.KeyRequest, group *v1alpha1.Group, now time.Time) (bool, error) {
	var beside v1alpha1.KeyRequestList
	if err := reader.List(ctx, &beside, client.InNamespace(request.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing the KeyRequests of namespace %s: %w", request.Namespace, err)
	}
	counts := func(other *v1alpha1.KeyRequest) bool {
		if !keyrequest.Undecided(other, now) || other.Namespace == request.Namespace && other.Name == request.Name {
			return false
		}
		return request.UID == "" || keyrequest.Before(other, request) < 0
	}
	older := 0
	for i := range beside.Items {
		if counts(&beside.Items[i]) {
			older++
		}
	}
	if older >= keyrequest.MaxUndecided || group == nil {
		return older >= keyrequest.MaxUndecided, nil
	}
	var ofGroup v1alpha1.KeyRequestList
	identity := client.ObjectKeyFromObject(group).String()
	if err := reader.List(ctx, &ofGroup, client.MatchingFields{ByGroup: identity}, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing the KeyRequests of Group %s: %w", identity, err)
	}
	older = 0
	labels := map[string]map[string]string{} // each namespace is read once
	for i := range ofGroup.Items {
		other := &ofGroup.Items[i]
		if !counts(other) {
			continue
		}
		if _, read := labels[other.Namespace]; !read {
			of, err := NamespaceLabels(ctx, reader, other.Namespace)
			if err != nil {
				return false, err
			}
			labels[other.Namespace] = of
		}
		if keyrequest.Accepts(group, other, labels[other.Namespace]) {
			older++
		}
	}
	return older >= keyrequest.MaxUndecidedOfGroup, nil
}

func indexRequests(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.KeyRequest{}, ByGroup, func(object client.Object) []string {
		request, _ := object.(*v1alpha1.KeyRequest)
		return []string{identity(request.Spec.GroupRef, request.Namespace)}
	}); err != nil {
		return fmt.Errorf("indexing KeyRequests by Group: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.KeyRequestReview{}, ByRequest, func(object client.Object) []string {
		review, _ := object.(*v1alpha1.KeyRequestReview)
		return []string{review.Spec.Request.Namespace + "/" + review.Spec.Request.Name}
	}); err != nil {
		return fmt.Errorf("indexing KeyRequestReviews by request: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.KeyRequestReview{}, ByGroup, func(object client.Object) []string {
		review, _ := object.(*v1alpha1.KeyRequestReview)
		return []string{review.Namespace + "/" + review.Spec.Group.Name}
	}); err != nil {
		return fmt.Errorf("indexing KeyRequestReviews by Group: %w", err)
	}
	return nil
}
