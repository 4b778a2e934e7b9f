package servingcert

import (
	"bytes"
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	// publishedInterval is how often a rotator asks whether the next authority is published.
	publishedInterval = time.Second
	// longest is how long a rotator waits at most, because timers do not follow changes of the clock.
	longest = 12 * time.Hour
)

// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=list;watch;update,resourceNames=keyward-certs
// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,verbs=list;watch;update,resourceNames=keyward-mutating
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=list;watch;update,resourceNames=keyward-validating

// Publisher publishes the authorities that validation servers are to trust.
type Publisher interface {
	// Publish replaces what is published. It does not wait.
	Publish(bundle []byte)
	// Published reports whether the bundle is everywhere where it is asked for, except where that is impossible.
	Published(ctx context.Context, bundle []byte) bool
}

// Rotator issues and renews the serving certificate in the Secret, and writes the authorities into the webhook configurations and
// the publisher. Only the leader does.
type Rotator struct {
	Client    client.Client
	Reader    client.Reader // of the Secret and the webhook configurations
	Publisher Publisher
	Policy    Policy
	Namespace string
	Clock     clock.PassiveClock
}

// AddRotator adds a Rotator to the manager, with a cache of its own for the few objects that it reads. The certificate becomes what
// is in the Secret, in every replica.
func AddRotator(mgr manager.Manager, certificate *Certificate, namespace string, policy Policy, publisher Publisher, clk clock.PassiveClock) error {
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector(metav1.ObjectNameField, name) }
	objects, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{namespace: {}}, Field: named(SecretName)},
			&admissionv1.MutatingWebhookConfiguration{}:   {Field: named(mutatingConfig)},
			&admissionv1.ValidatingWebhookConfiguration{}: {Field: named(validatingConfig)},
		},
	})
	if err != nil {
		return fmt.Errorf("making the cache of the certificates: %w", err)
	}
	if err := mgr.Add(everywhere{objects}); err != nil {
		return fmt.Errorf("adding the cache of the certificates: %w", err)
	}
	if err := follow(mgr, objects, certificate); err != nil {
		return err
	}
	r := &Rotator{
		Client: mgr.GetClient(), Reader: objects, Publisher: publisher, Policy: policy, Namespace: namespace, Clock: clk,
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("servingcert").
		WatchesRawSource(source.Kind(objects, &corev1.Secret{}, all[*corev1.Secret]())).
		WatchesRawSource(source.Kind(objects, &admissionv1.MutatingWebhookConfiguration{}, all[*admissionv1.MutatingWebhookConfiguration]())).
		WatchesRawSource(source.Kind(objects, &admissionv1.ValidatingWebhookConfiguration{}, all[*admissionv1.ValidatingWebhookConfiguration]())).
		WatchesRawSource(source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			queue.Add(request) // there may be no object yet that causes an event
			return nil
		})).
		Complete(r)
}

// everywhere is a cache that replicas that do not lead have, too.
type everywhere struct{ cache.Cache }

// NeedLeaderElection is false: every replica serves with the certificate.
func (everywhere) NeedLeaderElection() bool { return false }

// follow replaces the certificate with each version of the Secret in the cache.
func follow(mgr manager.Manager, objects cache.Cache, certificate *Certificate) error {
	secrets, err := objects.GetInformer(context.Background(), &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching Secret %s: %w", SecretName, err)
	}
	log := mgr.GetLogger().WithName("servingcert")
	replace := func(object any) {
		if secret, ok := object.(*corev1.Secret); ok {
			if err := certificate.replace(secret); err != nil {
				log.Error(err, "Cannot serve with the certificate; the one before stays")
			}
		}
	}
	_, err = secrets.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: replace, UpdateFunc: func(_, object any) { replace(object) },
	})
	if err != nil {
		return fmt.Errorf("watching Secret %s: %w", SecretName, err)
	}
	return nil
}

// request is the only one: everything is reconciled together.
var request = reconcile.Request{NamespacedName: types.NamespacedName{Name: SecretName}}

func all[O client.Object]() handler.TypedEventHandler[O, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, O) []reconcile.Request { return []reconcile.Request{request} })
}

// Reconcile does what is due.
func (r *Rotator) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: SecretName}, secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return reconcile.Result{}, fmt.Errorf("reading Secret %s: %w", SecretName, err)
	}
	bundle := secret.Data[entryBundle]
	published, err := r.publish(ctx, bundle)
	if err != nil {
		return reconcile.Result{}, err
	}
	next, err := r.Policy.advance(record{secret.Data, secret.Annotations}, Names(r.Namespace), r.Clock.Now(), published)
	if err != nil {
		return reconcile.Result{}, err
	}
	if next.reason == "" && bytes.Equal(next.data[entryBundle], bundle) {
		wait := min(longest, max(publishedInterval, next.wake.Sub(r.Clock.Now())))
		if next.waits {
			wait = publishedInterval
		}
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if next.reason == "" {
		next.reason = "Removed an authority that has expired"
	}
	secret.Data, secret.Annotations = next.data, next.annotations
	write := func() error { return r.Client.Update(ctx, secret) }
	if missing {
		secret.Namespace, secret.Name = r.Namespace, SecretName
		secret.Labels = map[string]string{"app.kubernetes.io/name": "keyward", "app.kubernetes.io/component": "manager"}
		write = func() error { return r.Client.Create(ctx, secret) }
	}
	if err := write(); err != nil { // a conflict, too: the cache is behind
		return reconcile.Result{}, fmt.Errorf("writing Secret %s: %w", SecretName, err)
	}
	logf.FromContext(ctx).Info(next.reason, "secret", SecretName)
	return reconcile.Result{}, nil // the change causes the next reconciliation
}

// publish gives the bundle to all who are to trust it, and reports whether they have it.
func (r *Rotator) publish(ctx context.Context, bundle []byte) (bool, error) {
	if len(parseBundle(bundle)) == 0 {
		return false, nil
	}
	r.Publisher.Publish(bundle)
	if err := r.inject(ctx, bundle); err != nil {
		return false, err
	}
	return r.Publisher.Published(ctx, bundle), nil
}

// inject writes the bundle into the webhook configurations.
func (r *Rotator) inject(ctx context.Context, bundle []byte) error {
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	err := r.Reader.Get(ctx, types.NamespacedName{Name: mutatingConfig}, mutating)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the webhook configuration %s: %w", mutatingConfig, err)
	}
	var clients []*admissionv1.WebhookClientConfig
	for i := range mutating.Webhooks {
		clients = append(clients, &mutating.Webhooks[i].ClientConfig)
	}
	if err := r.update(ctx, mutating, clients, bundle); err != nil {
		return err
	}
	err = r.Reader.Get(ctx, types.NamespacedName{Name: validatingConfig}, validating)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the webhook configuration %s: %w", validatingConfig, err)
	}
	clients = nil
	for i := range validating.Webhooks {
		clients = append(clients, &validating.Webhooks[i].ClientConfig)
	}
	return r.update(ctx, validating, clients, bundle)
}

func (r *Rotator) update(ctx context.Context, object client.Object, clients []*admissionv1.WebhookClientConfig, bundle []byte) error {
	changed := false
	for _, c := range clients {
		if !bytes.Equal(c.CABundle, bundle) {
			c.CABundle, changed = bundle, true
		}
	}
	if !changed {
		return nil
	}
	if err := r.Client.Update(ctx, object, client.FieldOwner("keyward")); err != nil {
		return fmt.Errorf("writing the authorities into the webhook configuration %s: %w", object.GetName(), err)
	}
	return nil
}
