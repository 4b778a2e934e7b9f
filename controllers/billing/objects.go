package billing

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
)

// +kubebuilder:rbac:groups=keyward.dev,namespace=keyward-system,resources=billingoutboxes,verbs=create;delete;get;list;update
// +kubebuilder:rbac:groups=keyward.dev,resources=groupusages,verbs=get;list;patch

// pageSize is how many objects are listed at a time.
const pageSize = 200

// Objects keeps outboxes as objects in the namespace of the manager.
type Objects struct {
	// Reader reads past the cache.
	Reader    client.Reader
	Client    client.Client
	Namespace string
}

// List implements Outboxes.
func (s *Objects) List(ctx context.Context) ([]*v1alpha1.BillingOutbox, error) {
	var all []*v1alpha1.BillingOutbox
	list := &v1alpha1.BillingOutboxList{}
	for page := true; page; page = list.Continue != "" {
		err := s.Reader.List(ctx, list, client.InNamespace(s.Namespace), client.Limit(pageSize), client.Continue(list.Continue))
		if err != nil {
			return nil, fmt.Errorf("listing: %w", err)
		}
		for i := range list.Items {
			all = append(all, list.Items[i].DeepCopy())
		}
	}
	return all, nil
}

// Get implements Outboxes.
func (s *Objects) Get(ctx context.Context, name string) (*v1alpha1.BillingOutbox, error) {
	o := &v1alpha1.BillingOutbox{}
	err := s.Reader.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("reading again: %w", err)
	}
	return o, nil
}

// Write implements Outboxes.
func (s *Objects) Write(ctx context.Context, o *v1alpha1.BillingOutbox) error {
	o.Namespace = s.Namespace
	var err error
	if o.ResourceVersion == "" {
		err = s.Client.Create(ctx, o)
	} else {
		err = s.Client.Update(ctx, o)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// Delete implements Outboxes.
func (s *Objects) Delete(ctx context.Context, o *v1alpha1.BillingOutbox) error {
	err := s.Client.Delete(ctx, o, client.Preconditions{ResourceVersion: &o.ResourceVersion})
	if err = client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("deleting: %w", err)
	}
	return nil
}

// Cluster has the Groups of a cluster.
type Cluster struct {
	// Reader reads past the cache; Client has Groups from the cache.
	Reader client.Reader
	Client client.Client
	// Namespaces to look for GroupUsages in; in all if there are none.
	Namespaces []string
}

// List implements Groups.
func (c *Cluster) List(ctx context.Context) ([]*v1alpha1.Group, error) {
	groups, err := cache.CachedGroups(ctx, c.Client)
	if err != nil {
		return nil, fmt.Errorf("listing: %w", err)
	}
	all := make([]*v1alpha1.Group, 0, len(groups))
	for i := range groups {
		all = append(all, &groups[i])
	}
	return all, nil
}

// Exists implements Groups. It lists the Group, since the manager may list Groups and not get them.
func (c *Cluster) Exists(ctx context.Context, group *v1alpha1.Group) (bool, error) {
	found := &metav1.PartialObjectMetadataList{}
	found.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupList"))
	err := c.Reader.List(ctx, found, client.InNamespace(group.Namespace), client.MatchingFields{metav1.ObjectNameField: group.Name})
	if err != nil {
		return false, fmt.Errorf("reading the Group: %w", err)
	}
	return slices.ContainsFunc(found.Items, func(is metav1.PartialObjectMetadata) bool { return is.UID == group.UID }), nil
}

// Usage implements Groups.
func (c *Cluster) Usage(ctx context.Context, group *v1alpha1.Group) (*v1alpha1.GroupUsage, error) {
	usage := &v1alpha1.GroupUsage{}
	err := c.Reader.Get(ctx, client.ObjectKeyFromObject(group), usage)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // nothing is recorded
	}
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return usage, nil
}

// Hold implements Groups, with a finalizer of the GroupUsage. A Group that was not used has none, and has nothing to lose.
func (c *Cluster) Hold(ctx context.Context, group *v1alpha1.Group, hold bool) error {
	usage, err := c.Usage(ctx, group)
	if err != nil || usage == nil || usageOf(usage) != group.UID {
		return err
	}
	return c.setHold(ctx, usage, hold)
}

// usageOf returns the UID of the Group that a GroupUsage is about. One that was only just made has no status.
func usageOf(usage *v1alpha1.GroupUsage) types.UID {
	if usage.Status.GroupUID != "" {
		return usage.Status.GroupUID
	}
	return ownerOf(usage)
}

func ownerOf(usage metav1.Object) types.UID {
	for _, owner := range usage.GetOwnerReferences() {
		if owner.Kind == "Group" {
			return owner.UID
		}
	}
	return ""
}

// Held implements Groups. A GroupUsage without an owner was restored, and is not one that the manager has left.
func (c *Cluster) Held(ctx context.Context) ([]*v1alpha1.Group, error) {
	var groups []*v1alpha1.Group
	err := c.eachHeld(ctx, func(usage *metav1.PartialObjectMetadata) error {
		if uid := ownerOf(usage); uid != "" {
			g := &v1alpha1.Group{}
			g.Namespace, g.Name, g.UID = usage.Namespace, usage.Name, uid
			groups = append(groups, g)
		}
		return nil
	})
	return groups, err
}

// eachHeld calls f with each GroupUsage that has the finalizer, until it fails.
func (c *Cluster) eachHeld(ctx context.Context, f func(*metav1.PartialObjectMetadata) error) error {
	namespaces := c.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupUsageList"))
		for page := true; page; page = list.Continue != "" {
			err := c.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(list.Continue))
			if err != nil {
				return fmt.Errorf("listing GroupUsages: %w", err)
			}
			for i := range list.Items {
				if !slices.Contains(list.Items[i].Finalizers, v1alpha1.FinalizerBilling) {
					continue
				}
				if err := f(&list.Items[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *Cluster) setHold(ctx context.Context, usage client.Object, hold bool) error {
	before, ok := usage.DeepCopyObject().(client.Object)
	if !ok || hold && !usage.GetDeletionTimestamp().IsZero() {
		return nil
	}
	changed := controllerutil.RemoveFinalizer
	if hold {
		changed = controllerutil.AddFinalizer
	}
	if !changed(usage, v1alpha1.FinalizerBilling) {
		return nil
	}
	err := c.Client.Patch(ctx, usage, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err = client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("changing the finalizer of the GroupUsage %s/%s: %w", usage.GetNamespace(), usage.GetName(), err)
	}
	return nil
}
