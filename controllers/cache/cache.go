// Package cache finds the objects that an ApiKey or a DomainAllowlist depends on.
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

// Group returns the Group of the name, nil where there is none.
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

// GroupName is the name of the Group that a reference in an object of the namespace names.
func GroupName(ref v1alpha1.GroupReference, namespace string) types.NamespacedName {
	groupNamespace, name := grant.GroupKey(ref, namespace)
	return types.NamespacedName{Namespace: groupNamespace, Name: name}
}

// ForKey returns the Group of the key, nil where there is none, and why it does not grant
// what the key asks, nil where it does. The Group is the cache's own: read it, change nothing.
func ForKey(ctx context.Context, reader client.Reader, key *v1alpha1.ApiKey) (*v1alpha1.Group, *grant.Problem, error) {
	return check(ctx, reader, func(labels map[string]string) grant.Subject { return grant.ForKey(key, labels) },
		key.Spec.GroupRef, key.Namespace)
}

// ForAllowlist is ForKey for a DomainAllowlist.
func ForAllowlist(ctx context.Context, reader client.Reader, list *v1alpha1.DomainAllowlist) (*v1alpha1.Group, *grant.Problem, error) {
	return check(ctx, reader, func(labels map[string]string) grant.Subject { return grant.ForAllowlist(list, labels) },
		list.Spec.GroupRef, list.Namespace)
}

func check(ctx context.Context, reader client.Reader, subject func(labels map[string]string) grant.Subject,
	ref v1alpha1.GroupReference, namespace string,
) (*v1alpha1.Group, *grant.Problem, error) {
	group, err := Group(ctx, reader, GroupName(ref, namespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, nil, err
	}
	var labels map[string]string
	if group != nil && group.Namespace != namespace {
		if from, _ := grant.Admits(subject(nil), group); from.From == v1alpha1.NamespacesFromSelector {
			if labels, err = NamespaceLabels(ctx, reader, namespace); err != nil {
				return nil, nil, err
			}
		}
	}
	return group, grant.Check(subject(labels), group), nil
}

// NamespaceLabels are the labels of a namespace, none where it does not exist.
func NamespaceLabels(ctx context.Context, reader client.Reader, name string) (map[string]string, error) {
	object := NamespaceMetadata()
	if err := reader.Get(ctx, types.NamespacedName{Name: name}, object); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return object.GetLabels(), nil
}

// Allowlists are the DomainAllowlists that refer to the group from namespaces of which it
// says that they count (allowlistsFrom). A project that the group lacks does not invalidate the rest of a list.
func Allowlists(ctx context.Context, reader client.Reader, group *v1alpha1.Group) ([]*v1alpha1.DomainAllowlist, error) {
	var lists v1alpha1.DomainAllowlistList
	identity := types.NamespacedName{Namespace: group.Namespace, Name: group.Name}.String()
	if err := reader.List(ctx, &lists, client.MatchingFields{ByGroup: identity}); err != nil {
		return nil, fmt.Errorf("listing the DomainAllowlists of Group %s: %w", identity, err)
	}
	var admitted []*v1alpha1.DomainAllowlist
	for i := range lists.Items {
		list := &lists.Items[i]
		if list.DeletionTimestamp != nil {
			continue
		}
		_, problem, err := ForAllowlist(ctx, reader, list)
		if err != nil {
			return nil, err
		}
		if problem == nil || problem.Reason == v1alpha1.ReasonProjectNotFound {
			admitted = append(admitted, list)
		}
	}
	return admitted, nil
}

// Keys are the ApiKeys that refer to the Group of the name. They are the cache's own, since a
// Group may have very many: read them, change nothing.
func Keys(ctx context.Context, reader client.Reader, group types.NamespacedName) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	if err := reader.List(ctx, &keys, client.MatchingFields{ByGroup: group.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the ApiKeys of Group %s: %w", group, err)
	}
	return keys.Items, nil
}

// KeysWithDigest are the ApiKeys that have a version of the digest. As with Keys, they are the
// cache's own.
func KeysWithDigest(ctx context.Context, reader client.Reader, digest keyformat.Digest) ([]v1alpha1.ApiKey, error) {
	digits := hex.EncodeToString(digest[:])
	return keysWith(ctx, reader, ByDigest, digits, func(key *v1alpha1.ApiKey) bool {
		return slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool { return Digits(v.Digest) == digits })
	})
}

// KeysWithID are the ApiKeys whose key has the id. As with Keys, they are the cache's own.
func KeysWithID(ctx context.Context, reader client.Reader, id string) ([]v1alpha1.ApiKey, error) {
	return keysWith(ctx, reader, ByKeyID, id, func(key *v1alpha1.ApiKey) bool { return key.Status.KeyID == id })
}

// KeysWithSecret are the ApiKeys of a namespace that are delivered in the Secret of the name. As
// with Keys, they are the cache's own.
func KeysWithSecret(ctx context.Context, reader client.Reader, secret types.NamespacedName) ([]v1alpha1.ApiKey, error) {
	return keysWith(ctx, reader, BySecret, secret.Name, func(key *v1alpha1.ApiKey) bool {
		return lifecycle.SecretName(key) == secret.Name
	}, client.InNamespace(secret.Namespace))
}

// keysWith leaves of a bucket the keys that have the value.
func keysWith(ctx context.Context, reader client.Reader, field, value string, has func(*v1alpha1.ApiKey) bool, options ...client.ListOption,
) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	options = append(options, client.MatchingFields{field: Bucket(value)}, client.UnsafeDisableDeepCopy)
	if err := reader.List(ctx, &keys, options...); err != nil {
		return nil, fmt.Errorf("listing the ApiKeys by %s: %w", field, err)
	}
	return slices.DeleteFunc(keys.Items, func(key v1alpha1.ApiKey) bool { return !has(&key) }), nil
}
