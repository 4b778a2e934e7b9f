package v1alpha1

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// affectedKeys counts keys that a change of their Group affects. It has an example only of the Group's own namespace: the owner
// of the Group may not see those of other namespaces.
type affectedKeys struct {
	n       int
	example string
}

func (a *affectedKeys) add(group *v1alpha1.Group, key *v1alpha1.ApiKey, problem *grant.Problem) {
	a.n++
	if key.Namespace == group.Namespace {
		a.example = fmt.Sprintf(", for instance %s/%s: %s", key.Namespace, key.Name, problem.Message)
	}
}

// affected warns of keys that a change of the Group no longer accepts, or accepts for less, and of those whose lifetime it no longer allows.
func (w *groups) affected(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	if !grant.ConcernsKeys(old.Spec, group.Spec) {
		return nil, nil
	}
	keys, err := cache.CachedKeys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil {
		return nil, err
	}
	var orphaned, narrowed, unaddressed, outlived, hurried affectedKeys
	for i := range keys {
		key := &keys[i]
		labels, err := cache.NamespaceLabels(ctx, w.reader, key.Namespace)
		if err != nil {
			return nil, err
		}
		subject := grant.ForKey(key, labels)
		was, is := grant.Grant(subject, old), grant.Grant(subject, group)
		switch refusal := lifecycle.Refusal(key, is); {
		case refusal != nil && lifecycle.Counts(key) && lifecycle.Refusal(key, was) == nil:
			orphaned.add(group, key, refusal)
		case is.Problem != nil && refusal == nil && is.LessThan(was):
			narrowed.add(group, key, is.Narrowed())
		case is.Problem != nil && refusal == nil && is.Problem.Reason == v1alpha1.ReasonAddressesRequired && !grant.RequiresAddresses(old):
			unaddressed.add(group, key, is.Narrowed())
		case is.Problem == nil && lifecycle.Counts(key):
			if problem := w.tightened(old, group, key); problem != nil {
				outlived.add(group, key, problem)
			}
			if problem := hurries(old, group, key); problem != nil {
				hurried.add(group, key, problem)
			}
		}
	}
	var warnings admission.Warnings
	if orphaned.n > 0 {
		warnings = append(warnings, fmt.Sprintf("%d ApiKeys are no longer accepted%s", orphaned.n, orphaned.example))
	}
	if narrowed.n > 0 {
		warnings = append(warnings, fmt.Sprintf("%d ApiKeys lose projects, permissions or context%s", narrowed.n, narrowed.example))
	}
	if unaddressed.n > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.keyPolicy.requireAddresses: %d ApiKeys declare no addresses, and are accepted from none%s",
			unaddressed.n, unaddressed.example))
	}
	if outlived.n > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.keyPolicy: %d ApiKeys declare a longer lifetime than is allowed with this; "+
			"they keep the expiry that they have, and their next versions live as long as is allowed%s", outlived.n, outlived.example))
	}
	if hurried.n > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.keyPolicy: %d ApiKeys rotate more often than they declare, up to once a minute%s",
			hurried.n, hurried.example))
	}
	return warnings, nil
}

// hurries returns why a change of the Group makes a key rotate as often as its short life requires, or nil.
func hurries(old, group *v1alpha1.Group, key *v1alpha1.ApiKey) *grant.Problem {
	_, was := grant.RotationUnder(key, old)
	_, is := grant.RotationUnder(key, group)
	if was == nil && is != nil && is.Elsewhere {
		return is
	}
	return nil
}

// tightened returns why a change of the Group does not allow the lifetime of a key, if it shortens that, or nil.
func (w *groups) tightened(old, group *v1alpha1.Group, key *v1alpha1.ApiKey) *grant.Problem {
	minted := minting(key, w.clock.Now())
	_, problem := grant.Expiry(key, group, minted)
	if problem == nil || !problem.Elsewhere {
		return nil
	}
	was, before := grant.CappedExpiry(key, old, minted)
	is, now := grant.CappedExpiry(key, group, minted)
	if before == nil && now == nil && !was.IsZero() && !is.Before(was) {
		return nil // as before, or longer
	}
	return problem
}
