package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
)

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=create
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list;watch;update;delete,resourceNames=keyward-ca
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

const (
	// workers is how many namespaces are written to at a time.
	workers = 4
	// foreignInterval is how often a ConfigMap that somebody else has made is reported.
	foreignInterval = 10 * time.Minute
	// reasonNameTaken is the reason of the event for that.
	reasonNameTaken = "NameTaken"
	// reasonNotReplaced is the reason of the event for one of Keyward's that is immutable, and cannot be deleted.
	reasonNotReplaced = "NotReplaced"
)

// configMaps keeps a ConfigMap with the bundle in each namespace that asks for it. It reads the metadata of namespaces, and the
// ConfigMaps of that name, from the cache.
type configMaps struct {
	client   client.Client
	recorder events.EventRecorder
	// namespace of the manager, which always has one.
	namespace string
	// watches reports whether the manager watches a namespace.
	watches func(namespace string) bool
	bundle  *bundle

	mu sync.Mutex
	// attempted has the digest of the bundle that was last written, or could not be written, in each namespace that asks.
	attempted map[string][sha256.Size]byte
}

// setup registers the controller.
func (c *configMaps) setup(mgr ctrl.Manager) error {
	namespaceOf := func(_ context.Context, object client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: object.GetNamespace()}}}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("trust").
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		For(cache.NamespaceMetadata(), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(namespaceOf)).
		WatchesRawSource(source.Channel(c.bundle.changes, handler.EnqueueRequestsFromMapFunc(c.everywhere))).
		Complete(c)
}

// everywhere returns all namespaces that ask, or have a ConfigMap.
func (c *configMaps) everywhere(ctx context.Context, _ client.Object) (requests []reconcile.Request) {
	names, err := c.asking(ctx)
	if err != nil {
		logf.FromContext(ctx).Error(err, "Cannot list namespaces from the cache")
	}
	for _, name := range names {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
	return requests
}

// asking returns the namespaces that ask for a ConfigMap.
func (c *configMaps) asking(ctx context.Context) (names []string, err error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := c.client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	for i := range list.Items {
		if c.asks(&list.Items[i]) {
			names = append(names, list.Items[i].Name)
		}
	}
	return names, nil
}

// asks reports whether a namespace asks for a ConfigMap, and can have one.
func (c *configMaps) asks(namespace *metav1.PartialObjectMetadata) bool {
	if !namespace.DeletionTimestamp.IsZero() || !c.watches(namespace.Name) {
		return false
	}
	return namespace.Name == c.namespace || namespace.Labels[v1alpha1.LabelTrust] == v1alpha1.TrustPublish ||
		namespace.Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionEnabled
}

// Reconcile makes one namespace have the ConfigMap, or not have it.
func (c *configMaps) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	text := c.bundle.get()
	if text == nil || !c.watches(request.Name) {
		return reconcile.Result{}, nil // its change reconciles all that ask
	}
	namespace := cache.NamespaceMetadata()
	err := c.client.Get(ctx, types.NamespacedName{Name: request.Name}, namespace)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading namespace %s: %w", request.Name, err)
	}
	found := &corev1.ConfigMap{}
	name := types.NamespacedName{Namespace: request.Name, Name: v1alpha1.TrustName}
	switch err := c.client.Get(ctx, name, found); {
	case apierrors.IsNotFound(err):
		found = nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading ConfigMap %s: %w", name, err)
	}
	if err != nil || !c.asks(namespace) {
		c.forget(request.Name)
		return reconcile.Result{}, c.remove(ctx, found)
	}
	err = c.write(ctx, name, found, text)
	c.attempt(request.Name, text)
	if found != nil && !isOurs(found) {
		return reconcile.Result{RequeueAfter: foreignInterval}, nil
	}
	return reconcile.Result{}, err
}

// write creates the ConfigMap, or corrects the one that was found.
func (c *configMaps) write(ctx context.Context, name types.NamespacedName, found *corev1.ConfigMap, text []byte) error {
	wanted := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{
			"app.kubernetes.io/name": "keyward", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
		}},
		Data: map[string]string{v1alpha1.TrustKey: string(text)},
	}
	if found == nil {
		if err := c.client.Create(ctx, wanted); client.IgnoreAlreadyExists(err) != nil { // it exists: the cache is behind
			return fmt.Errorf("creating ConfigMap %s: %w", name, err)
		}
		return nil
	}
	if !isOurs(found) {
		c.recorder.Eventf(found, nil, corev1.EventTypeWarning, reasonNameTaken, "Publish",
			"Keyward does not replace this ConfigMap, because it has no label %s=%s. Validation servers that mount it do not follow "+
				"when the authority is renewed. Delete it, and Keyward creates its own",
			v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
		logf.FromContext(ctx).Info("A ConfigMap of somebody else has the name of Keyward's; delete it, and Keyward creates its own",
			"namespace", name.Namespace, "configmap", name.Name)
		return nil
	}
	if hasOnly(found, text) {
		return nil
	}
	if ptr.Deref(found.Immutable, false) {
		return c.replace(ctx, found, wanted)
	}
	update := found.DeepCopy()
	update.Data, update.BinaryData = wanted.Data, nil
	if err := c.client.Update(ctx, update); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing ConfigMap %s: %w", name, err)
	}
	return nil
}

// replace deletes an immutable ConfigMap, which nothing else can change, and creates another one.
func (c *configMaps) replace(ctx context.Context, found, wanted *corev1.ConfigMap) error {
	if len(found.Finalizers) > 0 && !found.DeletionTimestamp.IsZero() {
		c.recorder.Eventf(found, nil, corev1.EventTypeWarning, reasonNotReplaced, "Publish",
			"Keyward cannot replace this immutable ConfigMap, which others keep by finalizers: %s. Validation servers that mount it do not "+
				"follow when the authority is renewed. Remove the finalizers, and Keyward creates it again",
			shown(strings.Join(found.Finalizers, ", ")))
		return nil // the end of the deletion is an event, too
	}
	if err := c.remove(ctx, found); err != nil {
		return err
	}
	if len(found.Finalizers) > 0 {
		return nil // its deletion is seen next
	}
	if err := c.client.Create(ctx, wanted); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("creating ConfigMap %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	return nil
}

// shown bounds what an event repeats.
func shown(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// remove deletes the ConfigMap if it is Keyward's.
func (c *configMaps) remove(ctx context.Context, found *corev1.ConfigMap) error {
	if found == nil || !isOurs(found) || !found.DeletionTimestamp.IsZero() {
		return nil
	}
	err := c.client.Delete(ctx, found, client.Preconditions{UID: &found.UID, ResourceVersion: &found.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ConfigMap %s/%s: %w", found.Namespace, found.Name, err)
	}
	return nil
}

func isOurs(found *corev1.ConfigMap) bool {
	return found.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy
}

// hasOnly reports whether the ConfigMap has the bundle and nothing else.
func hasOnly(found *corev1.ConfigMap, text []byte) bool {
	return len(found.Data) == 1 && len(found.BinaryData) == 0 && bytes.Equal([]byte(found.Data[v1alpha1.TrustKey]), text)
}

func (c *configMaps) attempt(namespace string, text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempted[namespace] = sha256.Sum256(text)
}

func (c *configMaps) forget(namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attempted, namespace)
}

// published reports whether the bundle was written, or could not be written, in all namespaces that ask.
func (c *configMaps) published(ctx context.Context, text []byte) bool {
	names, err := c.asking(ctx)
	if err != nil || !bytes.Equal(c.bundle.get(), text) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	digest := sha256.Sum256(text)
	for _, name := range names {
		if c.attempted[name] != digest {
			return false
		}
	}
	return true
}
