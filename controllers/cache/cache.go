// Package cache looks up objects in the manager's cache, and declares the indexes for that. Functions whose names begin with
// Cached return objects that belong to the cache, uncopied: read them, and never change them.
package cache

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// NamespaceMetadata is an empty Namespace of which only the metadata is read and cached.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return object
}

// Group returns the Group of the name, or nil if there is none.
func Group(ctx context.Context, reader client.Reader, name types.NamespacedName, options ...client.GetOption) (*v1alpha1.Group, error) {
	group := &v1alpha1.Group{}
	switch err := reader.Get(ctx, name, group, options...); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Group %s: %w", name, err)
	}
	return group, nil
}

// GroupName returns the name of the Group that a reference in an object of the namespace refers to.
func GroupName(ref v1alpha1.GroupReference, namespace string) types.NamespacedName {
	groupNamespace, name := grant.GroupKey(ref, namespace)
	return types.NamespacedName{Namespace: groupNamespace, Name: name}
}

// CachedGroupForKey returns the Group of the key, or nil if there is none, and what it grants of what the key requests.
func CachedGroupForKey(ctx context.Context, reader client.Reader, key *v1alpha1.ApiKey) (*v1alpha1.Group, grant.Granted, error) {
	group, subject, err := cachedGroupOf(ctx, reader, grant.ForKey(key, nil))
	if err != nil {
		return nil, grant.Granted{}, err
	}
	return group, grant.Grant(subject, group), nil
}

// CachedGroupForKeyWithProblems is CachedGroupForKey with all problems.
func CachedGroupForKeyWithProblems(ctx context.Context, reader client.Reader,
	key *v1alpha1.ApiKey,
) (*v1alpha1.Group, grant.Granted, grant.Problems, error) {
	group, subject, err := cachedGroupOf(ctx, reader, grant.ForKey(key, nil))
	if err != nil {
		return nil, grant.Granted{}, nil, err
	}
	return group, grant.Grant(subject, group), grant.CheckAll(subject, group), nil
}

// CachedGroupForAllowlist is CachedGroupForKey for a DomainAllowlist.
func CachedGroupForAllowlist(ctx context.Context, reader client.Reader,
	list *v1alpha1.DomainAllowlist,
) (*v1alpha1.Group, *grant.Problem, error) {
	group, subject, err := cachedGroupOf(ctx, reader, grant.ForAllowlist(list, nil))
	if err != nil {
		return nil, nil, err
	}
	return group, grant.Check(subject, group), nil
}

// ProblemsOfAllowlist returns all problems, of which CachedGroupForAllowlist returns the first.
func ProblemsOfAllowlist(ctx context.Context, reader client.Reader, list *v1alpha1.DomainAllowlist) (grant.Problems, error) {
	group, subject, err := cachedGroupOf(ctx, reader, grant.ForAllowlist(list, nil))
	if err != nil {
		return nil, err
	}
	return grant.CheckAll(subject, group), nil
}

// cachedGroupOf returns the Group of a subject, or nil if there is none, and the subject with the labels of its namespace
// if the Group selects namespaces by them.
func cachedGroupOf(ctx context.Context, reader client.Reader, subject grant.Subject) (*v1alpha1.Group, grant.Subject, error) {
	group, err := Group(ctx, reader, GroupName(subject.GroupRef, subject.Namespace), client.UnsafeDisableDeepCopy)
	if err != nil || group == nil || group.Namespace == subject.Namespace {
		return group, subject, err
	}
	if from, _ := grant.Admits(subject, group); from.From == v1alpha1.NamespacesFromSelector {
		subject.NamespaceLabels, err = NamespaceLabels(ctx, reader, subject.Namespace)
	}
	return group, subject, err
}

// NamespaceLabels returns the labels of a namespace, or none if it does not exist.
func NamespaceLabels(ctx context.Context, reader client.Reader, name string) (map[string]string, error) {
	object := NamespaceMetadata()
	if err := reader.Get(ctx, types.NamespacedName{Name: name}, object); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return object.GetLabels(), nil
}

// Terminating reports whether a namespace is known to be deleted, so that no object can be created in it.
func Terminating(ctx context.Context, reader client.Reader, name string) bool {
	object := NamespaceMetadata()
	err := reader.Get(ctx, types.NamespacedName{Name: name}, object)
	return err == nil && object.GetDeletionTimestamp() != nil
}

// CachedAllowlists returns the DomainAllowlists that refer to the group, from namespaces that the group allows (allowlistsFrom).
// A project that the group lacks does not invalidate the rest of a list.
func CachedAllowlists(ctx context.Context, reader client.Reader, group *v1alpha1.Group) ([]*v1alpha1.DomainAllowlist, error) {
	var lists v1alpha1.DomainAllowlistList
	identity := types.NamespacedName{Namespace: group.Namespace, Name: group.Name}.String()
	if err := reader.List(ctx, &lists, client.MatchingFields{ByGroup: identity}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the DomainAllowlists of Group %s: %w", identity, err)
	}
	labels := map[string]map[string]string{} // of other namespaces, each read once
	var admitted []*v1alpha1.DomainAllowlist
	for i := range lists.Items {
		list := &lists.Items[i]
		if list.DeletionTimestamp != nil {
			continue
		}
		_, read := labels[list.Namespace]
		if !read && list.Namespace != group.Namespace && group.Spec.AllowlistsFrom.From == v1alpha1.NamespacesFromSelector {
			of, err := NamespaceLabels(ctx, reader, list.Namespace)
			if err != nil {
				return nil, err
			}
			labels[list.Namespace] = of
		}
		if grant.CheckReference(grant.ForAllowlist(list, labels[list.Namespace]), group) == nil {
			admitted = append(admitted, list)
		}
	}
	return admitted, nil
}

// CachedAllowlistsWith returns the CachedAllowlists of the Group that the list refers to, the list included if it counts; none if
// there is no such Group.
func CachedAllowlistsWith(ctx context.Context, reader client.Reader, list *v1alpha1.DomainAllowlist) ([]*v1alpha1.DomainAllowlist, error) {
	group, err := Group(ctx, reader, GroupName(list.Spec.GroupRef, list.Namespace), client.UnsafeDisableDeepCopy)
	if err != nil || group == nil {
		return nil, err
	}
	return CachedAllowlists(ctx, reader, group)
}

// CachedKey returns the ApiKey of the name. Unlike Group, it returns an error if there is none.
func CachedKey(ctx context.Context, reader client.Reader, name types.NamespacedName) (*v1alpha1.ApiKey, error) {
	key := &v1alpha1.ApiKey{}
	if err := reader.Get(ctx, name, key, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading ApiKey %s: %w", name, err)
	}
	return key, nil
}

// CachedKeysInNamespace returns the ApiKeys of the namespace.
func CachedKeysInNamespace(ctx context.Context, reader client.Reader, namespace string) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	if err := reader.List(ctx, &keys, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the ApiKeys of namespace %s: %w", namespace, err)
	}
	return keys.Items, nil
}

// CachedGroups returns all Groups, or those of the options.
func CachedGroups(ctx context.Context, reader client.Reader, options ...client.ListOption) ([]v1alpha1.Group, error) {
	var groups v1alpha1.GroupList
	if err := reader.List(ctx, &groups, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("listing the Groups: %w", err)
	}
	return groups.Items, nil
}

// CachedAllKeys returns all ApiKeys.
func CachedAllKeys(ctx context.Context, reader client.Reader) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	if err := reader.List(ctx, &keys, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the ApiKeys: %w", err)
	}
	return keys.Items, nil
}

// CachedKeys returns the ApiKeys that refer to the Group of the name. They are not copied because a Group may have very many.
func CachedKeys(ctx context.Context, reader client.Reader, group types.NamespacedName) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	if err := reader.List(ctx, &keys, client.MatchingFields{ByGroup: group.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the ApiKeys of Group %s: %w", group, err)
	}
	return keys.Items, nil
}

// CachedKeysWithDigest returns the ApiKeys that have a version with the digest.
func CachedKeysWithDigest(ctx context.Context, reader client.Reader, digest keyformat.Digest) ([]v1alpha1.ApiKey, error) {
	digits := hex.EncodeToString(digest[:])
	return cachedKeysWith(ctx, reader, ByDigest, digits, func(key *v1alpha1.ApiKey) bool {
		return slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool { return Digits(v.Digest) == digits })
	})
}

// CachedKeysWithID returns the ApiKeys whose key has the id.
func CachedKeysWithID(ctx context.Context, reader client.Reader, id string) ([]v1alpha1.ApiKey, error) {
	return cachedKeysWith(ctx, reader, ByKeyID, id, func(key *v1alpha1.ApiKey) bool { return key.Status.KeyID == id })
}

// CachedKeysWithSecret returns the ApiKeys of a namespace that are delivered in the Secret of the name.
func CachedKeysWithSecret(ctx context.Context, reader client.Reader, secret types.NamespacedName) ([]v1alpha1.ApiKey, error) {
	return cachedKeysWith(ctx, reader, BySecret, secret.Name, func(key *v1alpha1.ApiKey) bool {
		return lifecycle.SecretName(key) == secret.Name
	}, client.InNamespace(secret.Namespace))
}

// cachedKeysWith returns the keys of a bucket that have the value.
func cachedKeysWith(ctx context.Context, reader client.Reader, field, value string, has func(*v1alpha1.ApiKey) bool,
	options ...client.ListOption,
) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	options = append(options, client.MatchingFields{field: Bucket(value)}, client.UnsafeDisableDeepCopy)
	if err := reader.List(ctx, &keys, options...); err != nil {
		return nil, fmt.Errorf("listing the ApiKeys by %s: %w", field, err)
	}
	return slices.DeleteFunc(keys.Items, func(key v1alpha1.ApiKey) bool { return !has(&key) }), nil
}
