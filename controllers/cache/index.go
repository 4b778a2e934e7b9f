// Package cache names the cache indexes that controllers look things up by.
package cache

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// ByGroup finds ApiKeys, DomainAllowlists, KeyRequests and KeyRequestReviews by the identity namespace/name of their Group.
const ByGroup = "group"

// BySecret finds ApiKeys by the Bucket of the name of their Secret.
const BySecret = "secret"

// ByDigest finds ApiKeys by the Bucket of the Digits of the digest of any of their versions.
const ByDigest = "digest"

// ByKeyID finds ApiKeys by the Bucket of the id of their key.
const ByKeyID = "keyID"

// buckets is the number of buckets: with 100,000 keys there are a few in each.
const buckets = 1 << 14

// Bucket returns the index value for a value that only one key, or a few keys, have. A separate index entry for each value
// would take almost as much memory as the keys themselves, because the cache keeps two sets for each entry. So a bucket has
// other keys, too, and the caller has to compare.
func Bucket(value string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(value)) // never fails
	return strconv.Itoa(int(h.Sum32() % buckets))
}

// Digits returns the digits of a digest as it stands in a status, without the name of its algorithm.
func Digits(digest string) string { return digest[strings.LastIndexByte(digest, ':')+1:] }

// RegisterIndexes declares the indexes. It must run before the cache starts.
func RegisterIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.ApiKey{}, ByGroup, func(object client.Object) []string {
		key, _ := object.(*v1alpha1.ApiKey)
		return []string{identity(key.Spec.GroupRef, key.Namespace)}
	}); err != nil {
		return fmt.Errorf("indexing ApiKeys by Group: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.ApiKey{}, BySecret, func(object client.Object) []string {
		key, _ := object.(*v1alpha1.ApiKey)
		return []string{Bucket(lifecycle.SecretName(key))}
	}); err != nil {
		return fmt.Errorf("indexing ApiKeys by Secret: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.ApiKey{}, ByDigest, func(object client.Object) []string {
		key, _ := object.(*v1alpha1.ApiKey)
		digests := make([]string, 0, len(key.Status.Versions))
		for i := range key.Status.Versions {
			digests = append(digests, Bucket(Digits(key.Status.Versions[i].Digest)))
		}
		return digests
	}); err != nil {
		return fmt.Errorf("indexing ApiKeys by digest: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.ApiKey{}, ByKeyID, func(object client.Object) []string {
		key, _ := object.(*v1alpha1.ApiKey)
		return []string{Bucket(key.Status.KeyID)}
	}); err != nil {
		return fmt.Errorf("indexing ApiKeys by key id: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.DomainAllowlist{}, ByGroup, func(object client.Object) []string {
		list, _ := object.(*v1alpha1.DomainAllowlist)
		return []string{identity(list.Spec.GroupRef, list.Namespace)}
	}); err != nil {
		return fmt.Errorf("indexing DomainAllowlists by Group: %w", err)
	}
	return indexRequests(ctx, indexer)
}

func identity(ref v1alpha1.GroupReference, namespace string) string {
	groupNamespace, name := grant.GroupKey(ref, namespace)
	return groupNamespace + "/" + name
}
