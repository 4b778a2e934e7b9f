package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// +kubebuilder:rbac:groups=keyward.dev,resources=keyusages,verbs=create;delete;get;list;update

// keyObject is a KeyUsage as it was read; it has no UID if there is none. Ids of keys are never used again, so it is about the ApiKey.
type keyObject struct{ v1alpha1.KeyUsage }

func (s *Objects) readKey(ctx context.Context, key Key) (*keyObject, error) {
	o := &keyObject{}
	namespace, _, _ := strings.Cut(key.Group, "/")
	err := s.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: key.Owner}, &o.KeyUsage)
	if apierrors.IsNotFound(err) {
		return &keyObject{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the KeyUsage: %w", err)
	}
	return o, nil
}

// version identifies the ledger of a period. It is not the resourceVersion, which changes with that of another one.
func (o *keyObject) version(period quotaledger.Period) string {
	if o.UID == "" {
		return ""
	}
	revision := int64(0)
	if kept := ledgerIn(o.Spec.Ledgers, period); kept != nil && kept.Revision != nil {
		revision = *kept.Revision
	}
	return fmt.Sprintf("%s/%d", o.UID, revision)
}

func (s *Objects) loadKey(ctx context.Context, key Key) (Entry, error) {
	o, err := s.readKey(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{Ledger: &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}, Version: o.version(key.Period)}
	if kept := ledgerIn(o.Spec.Ledgers, key.Period); kept != nil {
		entry.Ledger = ledgerOf(kept)
	}
	return entry, nil
}

// saveKey reads the KeyUsage first, and the API server refuses the write if that was changed in the meantime. If somebody has
// deleted it, it is made again from the entry.
func (s *Objects) saveKey(ctx context.Context, key Key, entry Entry) (string, error) {
	for range attempts {
		o, err := s.readKey(ctx, key)
		if err != nil {
			return "", err
		}
		if o.UID != "" && o.version(key.Period) != entry.Version {
			return "", ErrConflict
		}
		if err := s.describe(ctx, o, key); err != nil {
			return "", err
		}
		if err := keep(&o.Spec.Ledgers, key.Period, entry.Ledger); err != nil {
			return "", err
		}
		if o.UID == "" {
			err = s.Client.Create(ctx, &o.KeyUsage)
		} else {
			err = s.Client.Update(ctx, &o.KeyUsage)
		}
		switch {
		case err == nil:
			return o.version(key.Period), nil
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
			// Somebody has changed, made or deleted it: look again.
		default:
			return "", fmt.Errorf("recording the usage of a key: %w", err)
		}
	}
	return "", ErrConflict
}

// describe says whose KeyUsage it is.
func (s *Objects) describe(ctx context.Context, o *keyObject, key Key) error {
	namespace, name, _ := strings.Cut(key.Group, "/")
	group, err := cache.Group(ctx, s.Groups, types.NamespacedName{Namespace: namespace, Name: name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("reading the Group: %w", err)
	}
	if group == nil {
		return ErrNoGroup
	}
	keys, err := cache.CachedKeysWithID(ctx, s.Groups, key.Owner)
	if err != nil {
		return err
	}
	if len(keys) != 1 {
		return ErrNoKey
	}
	o.Namespace, o.Name = namespace, key.Owner
	o.OwnerReferences = []metav1.OwnerReference{ownerOf(group)}
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	o.Labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	o.Spec.Group = name
	o.Spec.APIKey = v1alpha1.KeyUsageOwner{Namespace: keys[0].Namespace, Name: keys[0].Name}
	return nil
}

// recordRefusedKeys records which keys of a Group were refused. Those that it does not have, or not any more, are left out. What is only shown
// must not keep the rest from being written: if the keys cannot be read, which a cache that closes cannot, what is shown stays as it is.
func (s *Objects) recordRefusedKeys(ctx context.Context, o *object, now time.Time, seen map[usageseries.KeyCode]usageseries.KeyRefusals) {
	if len(seen) == 0 && len(o.usage.Status.RefusedKeys) == 0 {
		return
	}
	var failed error
	status := o.usage.Status
	usageseries.RecordRefusedKeys(&status, now, seen, func(id string) (v1alpha1.KeyUsageOwner, bool) {
		keys, err := cache.CachedKeysWithID(ctx, s.Groups, id)
		failed = errors.Join(failed, err)
		for i := range keys {
			if cache.GroupName(keys[i].Spec.GroupRef, keys[i].Namespace) == client.ObjectKeyFromObject(o.group) {
				return v1alpha1.KeyUsageOwner{Namespace: keys[i].Namespace, Name: keys[i].Name}, true
			}
		}
		return v1alpha1.KeyUsageOwner{}, false
	})
	if failed != nil {
		logf.FromContext(ctx).Error(failed, "It cannot be recorded which keys were refused", "group", client.ObjectKeyFromObject(o.group))
		return
	}
	o.usage.Status.RefusedKeys = status.RefusedKeys
}

// recoverKey returns the ledger of a key in another store, of which the KeyUsage may show the beginning.
func (s *Objects) recoverKey(ctx context.Context, key Key) (*quotaledger.Ledger, error) {
	entry, err := s.loadKey(ctx, key)
	if err != nil {
		return nil, err
	}
	total := entry.Ledger.Total()
	return quotaledger.Recover(total.Requests, total.Unconfirmed, 0), nil
}

// EachKey calls f with what was used of the quota of each key that has a KeyUsage, in these namespaces, or in all if there are none.
func (s *Objects) EachKey(ctx context.Context, namespaces []string, f func(usage *v1alpha1.KeyUsage)) error {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		list := &v1alpha1.KeyUsageList{}
		for page := true; page; page = list.Continue != "" {
			err := s.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(list.Continue))
			if err != nil {
				return fmt.Errorf("listing KeyUsages: %w", err)
			}
			for i := range list.Items {
				f(&list.Items[i])
			}
		}
	}
	return nil
}

// Collect deletes a KeyUsage if its ApiKey does not exist any more, for which it is read past the cache: first in the cache, because
// there are many.
func (s *Objects) Collect(ctx context.Context, usage *v1alpha1.KeyUsage) error {
	if known, err := cache.CachedKeysWithID(ctx, s.Groups, usage.Name); err != nil || len(known) > 0 {
		return err
	}
	of, keys := usage.Spec.APIKey, &v1alpha1.ApiKeyList{} // a list, because the manager may get no ApiKey
	if err := s.Reader.List(ctx, keys, client.InNamespace(of.Namespace), client.MatchingFields{metav1.ObjectNameField: of.Name}); err != nil {
		return fmt.Errorf("reading the ApiKey of a KeyUsage: %w", err)
	}
	if len(keys.Items) == 1 && (keys.Items[0].Status.KeyID == "" || keys.Items[0].Status.KeyID == usage.Name) {
		return nil
	}
	exactly := client.Preconditions{UID: &usage.UID, ResourceVersion: &usage.ResourceVersion}
	if err := s.Client.Delete(ctx, usage, exactly); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the KeyUsage of a key that was deleted: %w", err)
	}
	return nil
}
