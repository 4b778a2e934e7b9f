package v1alpha1

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// checkQuota returns the problem of a key that has got a quota of its own though as many keys of its Group have one as may. There is no
// group where it does not admit the key. Of two keys that pass at the same time, the leader limits the later one to 0.
func (w *apiKeys) checkQuota(ctx context.Context, old, key *v1alpha1.ApiKey, group *v1alpha1.Group) (*grant.Problem, error) {
	if group == nil || key.Spec.Limits.RequestsPerMonth == nil || old.Spec.Limits.RequestsPerMonth != nil {
		return nil, nil
	}
	keys, err := cache.CachedKeys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil {
		return nil, err
	}
	count, labels := 0, map[string]map[string]string{}
	for i := range keys {
		other := &keys[i]
		if other.Spec.Limits.RequestsPerMonth == nil || other.Name == key.Name && other.Namespace == key.Namespace || !lifecycle.Counts(other) {
			continue
		}
		is, err := w.admits(ctx, group, other, labels)
		if err != nil {
			return nil, err
		}
		if is {
			count++
		}
	}
	if count < v1alpha1.MaxKeyQuotas {
		return nil, nil
	}
	return &grant.Problem{
		Reason: v1alpha1.ReasonInvalidSpec, Type: field.ErrorTypeForbidden, Field: "spec.limits.requestsPerMonth",
		Message: fmt.Sprintf("%d ApiKeys of Group %s have a quota of their own, and no more may; remove that of another, or this one",
			v1alpha1.MaxKeyQuotas, types.NamespacedName{Namespace: group.Namespace, Name: group.Name}),
	}, nil
}

// admits reports whether a Group admits a key: those of others must not take places from its own. labels has those of the namespaces
// that were read.
func (w *apiKeys) admits(ctx context.Context, group *v1alpha1.Group, key *v1alpha1.ApiKey, labels map[string]map[string]string) (bool, error) {
	if key.Namespace == group.Namespace {
		return true, nil
	}
	of, read := labels[key.Namespace]
	if !read {
		var err error
		if of, err = cache.NamespaceLabels(ctx, w.reader, key.Namespace); err != nil {
			return false, err
		}
		labels[key.Namespace] = of
	}
	return grant.CheckReference(grant.ForKey(key, of), group) == nil, nil
}

// addQuota adds what checkQuota returns.
func (c *checkedKey) addQuota(problem *grant.Problem, err error) error {
	if problem != nil {
		c.problems = append(c.problems, problem)
	}
	return err
}
