// Package controllers wires the manager; no other package does.
package controllers

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/domainallowlist"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/keyrequest"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/servingcert"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/sidecarrole"
	sinkconfig "github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/syncserver"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/inject"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
	webhookv1alpha1 "github.com/keyward-dev/keyward/webhook/v1alpha1"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=keyward-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=keyward-system,resources=leases,verbs=get;update,resourceNames=keyward-manager
// +kubebuilder:rbac:groups="";events.k8s.io,namespace=keyward-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// Options are the settings of a manager.
type Options struct {
	// Namespace is the namespace that the manager runs in.
	Namespace string
	// LeaderElect elects one of several replicas as the leader; without it this replica leads.
	LeaderElect bool
	// Identity is the holder's name in the Lease: different from every replica that may run at the same time, and the same
	// after a restart of the container. If it is empty, a random one is used.
	Identity string
	// Addresses to listen on, host:port; "0" disables metrics, health probes or profiles.
	SyncAddress, WebhookAddress, MetricsAddress, HealthAddress, PprofAddress string
	// WebhookClientCAFile has the authorities for the client certificate that the API server must present to webhooks; if it
	// is empty, none is required.
	WebhookClientCAFile string
	// WatchNamespaces are the namespaces whose objects the manager reads and writes; if there are none, all.
	WatchNamespaces []string
	// CertDir is the directory in which the serving certificate is mounted, with CAFile.
	CertDir string
	// CAFile has the authorities of a certificate that somebody else issues; if it is empty, the manager issues it.
	CAFile string
	// AuthorityOverlap is how long the manager publishes a new authority before that issues the certificate.
	AuthorityOverlap time.Duration
	// Sync bounds how long the manager waits for validation servers.
	Sync publish.Options
	// ForgetServersAfter is how long a validation server is known that was disconnected and not shut down; with 0 until it reconnects.
	ForgetServersAfter time.Duration
	// SyncStreams is how many streams all validation servers of one ServiceAccount may have.
	SyncStreams int
	// Tiers is the catalogue of tiers that Groups may name.
	Tiers *tier.Catalogue
	// Sinks are where the logs of Groups are sent; nil for nowhere.
	Sinks *sinkconfig.Configuration
	// Billing is where usage is sent for invoices; nil for nowhere.
	Billing *sinkconfig.Configuration
	// BillingLookInterval is how often Groups are looked for that are new or deleted, to bill them.
	BillingLookInterval time.Duration
	// UsageStore is the URL of the Redis or Valkey in which ledgers are kept; without it they are kept in GroupUsages.
	// It may contain a password, and is not logged.
	UsageStore string
	// LastUsedResolution is the minimum time between two writes of the last use of a key into its status.
	LastUsedResolution time.Duration
	// SidecarImage is the image of the validation server in sidecars.
	SidecarImage string
	// SidecarTrustBundle is the name of the ClusterTrustBundle that sidecars trust; if it is empty, they trust the ConfigMap
	// keyward-ca of their namespace.
	SidecarTrustBundle string
	// Traces is where the spans of changes go; nil if they are not traced.
	Traces trace.TracerProvider
	// Leaks are where scanners report key texts that they have found; nowhere without an address.
	Leaks LeakOptions
	// UsageAddress is where usage over time is served, host:port; "0" or empty turns it off.
	UsageAddress string
	// SealedContextKeys is the directory with the keys that seal the sealed contexts of Groups; if it is empty, there are none.
	SealedContextKeys string
	// MetricsGroups and MetricsKeys are how many Groups and ApiKeys have metrics of their own.
	MetricsGroups, MetricsKeys int
}

// Scheme returns a scheme with the types that the manager uses.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// NewManager returns a manager with all that Keyward runs in it.
func NewManager(ctx context.Context, config *rest.Config, options Options) (ctrl.Manager, error) {
	var certificate *servingcert.Certificate
	server, err := admissionserver.New(admissionserver.Options{
		Address: options.WebhookAddress, ClientCAFile: options.WebhookClientCAFile, Clock: clock.RealClock{},
		Certificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Get(hello) },
	})
	if err != nil {
		return nil, err
	}
	mgr, err := bareManager(config, server, options)
	if err != nil {
		return nil, err
	}
	if err := cache.RegisterIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return nil, err
	}
	if err := mgr.Add(cacheWarmer{mgr.GetCache()}); err != nil {
		return nil, fmt.Errorf("adding the cache warmer: %w", err)
	}
	if certificate, err = addCertificate(mgr, options); err != nil {
		return nil, err
	}
	options.Sync.Patience = syncserver.Patience
	sessions := session.NewRegistry(clock.RealClock{}, options.ForgetServersAfter)
	hub, tracker := publish.NewHub(clock.RealClock{}, sessions, options.Sync), usage.NewTracker(clock.RealClock{}, sessions)
	hub.TraceTo(options.Traces)
	seals := &seal.Keeper{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: options.Namespace, Random: rand.Reader}
	counted, err := addUsage(ctx, mgr, sessions, options)
	if err != nil {
		return nil, err
	}
	log, sent, err := addLogs(mgr, sessions, counted, options)
	if err != nil {
		return nil, err
	}
	if err := addControllers(ctx, mgr, hub, tracker, seals, counted, log, options); err != nil {
		return nil, err
	}
	if err := addSync(mgr, hub, tracker, counted, seals, options, certificate); err != nil {
		return nil, err
	}
	if err := webhookv1alpha1.Setup(mgr, options.Tiers); err != nil {
		return nil, err
	}
	if err := addLeaks(mgr, seals, options.Leaks, certificate); err != nil {
		return nil, err
	}
	billed, err := addBilling(mgr, counted.objects, options)
	if err != nil {
		return nil, err
	}
	if err := addInstallation(mgr, sessions, hub, sent, billed, options); err != nil {
		return nil, err
	}
	if err := addUsageAPI(mgr, options.UsageAddress, certificate, counted.hours); err != nil {
		return nil, err
	}
	webhookv1alpha1.SetupPods(mgr, inject.Config{
		Image: options.SidecarImage, ManagerNamespace: options.Namespace, TrustBundle: options.SidecarTrustBundle,
	}, options.WatchNamespaces)
	return mgr, addChecks(mgr)
}

// bareManager returns a manager in which nothing runs yet but the server of webhooks.
func bareManager(config *rest.Config, server webhook.Server, options Options) (ctrl.Manager, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the priority and fairness of the API server limits the manager, as any client
	leaderEvents := &leaseEvents{}
	lock, err := leaseLock(config, options, leaderEvents)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        Scheme(),
		Cache:                         cacheOptions(options),
		NewCache:                      cache.New(options.WatchNamespaces),
		WebhookServer:                 server,
		Metrics:                       metricsserver.Options{BindAddress: options.MetricsAddress},
		HealthProbeBindAddress:        options.HealthAddress,
		PprofBindAddress:              options.PprofAddress,
		LeaderElection:                options.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       options.Namespace,
		LeaderElectionReleaseOnCancel: true,
		RenewDeadline:                 new(renewDeadline),
		GracefulShutdownTimeout:       new(10 * time.Second),

		LeaderElectionResourceLockInterface: lock,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	leaderEvents.recorder = mgr.GetEventRecorder(eventSource)
	return mgr, nil
}

// CacheOptions returns options with which the cache has only the Secrets, Roles and ConfigMaps of the operator, and drops managedFields, which
// are half of an object. Secrets keep theirs, because they show which fields belong to the operator.
func CacheOptions() ctrlcache.Options {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	compact := new(cache.Compact)
	return ctrlcache.Options{
		DefaultTransform: ctrlcache.TransformStripManagedFields(),
		ByObject: map[client.Object]ctrlcache.ByObject{
			&v1alpha1.ApiKey{}:    {Transform: compact.Transform},
			&corev1.Secret{}:      {Label: ours, Transform: compact.Transform},
			&rbacv1.Role{}:        {Label: ours},
			&rbacv1.RoleBinding{}: {Label: ours},
			&corev1.ConfigMap{}:   {Field: fields.OneTermEqualSelector(metav1.ObjectNameField, v1alpha1.TrustName)},
		},
	}
}

// eventRecorder returns the recorder of all controllers.
func eventRecorder(ctx context.Context, mgr ctrl.Manager) events.EventRecorder {
	return conditions.Clipped(conditions.ForLiving(mgr.GetEventRecorder(eventSource), func(namespace string) bool {
		return cache.Terminating(ctx, mgr.GetClient(), namespace)
	}))
}

func addControllers(ctx context.Context, mgr ctrl.Manager, hub *publish.Hub, tracker *usage.Tracker, seals *seal.Keeper,
	counted *counting, log *grouplog.Writer, options Options,
) error {
	memory := &revoked.Memory{Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Namespace: options.Namespace, Clock: clock.RealClock{}}
	keyMetrics := &apikey.KeyMetrics{Reader: mgr.GetCache(), Clock: clock.RealClock{}, Keys: options.MetricsKeys}
	for _, runnable := range []manager.Runnable{seals, memory, keyMetrics} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("adding the manager's secret, memory and metrics: %w", err)
		}
	}
	recorder := eventRecorder(ctx, mgr)
	reconcilers := []interface{ Setup(mgr ctrl.Manager) error }{
		&apikey.Reconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Hub: hub, Usage: tracker, Seals: seals, Memory: memory,
			Recorder: recorder, Clock: clock.RealClock{}, Random: rand.Reader, Tiers: options.Tiers,
			LastUsedResolution: options.LastUsedResolution, Quotas: counted.keys, Log: log,
		},
		&group.Reconciler{
			Client: mgr.GetClient(), Hub: hub, Tiers: options.Tiers, Recorder: recorder, Clock: clock.RealClock{}, Totals: counted.totals,
			APIReader: mgr.GetAPIReader(), Ring: sealingRing(options.SealedContextKeys),
		},
		&domainallowlist.Reconciler{Client: mgr.GetClient(), Recorder: recorder, Clock: clock.RealClock{}},
		&keyrequest.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: recorder, Clock: clock.RealClock{}, Log: log},
		&sidecarrole.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: recorder},
	}
	for _, reconciler := range reconcilers {
		if err := reconciler.Setup(mgr); err != nil {
			return fmt.Errorf("setting up a controller: %w", err)
		}
	}
	return nil
}

func addSync(mgr ctrl.Manager, hub *publish.Hub, tracker *usage.Tracker, counted *counting,
	seals *seal.Keeper, options Options, certificate *servingcert.Certificate,
) error {
	imported := &publish.Imported{}
	if err := mgr.Add(&publish.Projector{Hub: hub, Cache: mgr.GetCache(), Imported: imported, Seals: seals}); err != nil {
		return fmt.Errorf("adding the projector: %w", err)
	}
	err := mgr.Add(&syncserver.Server{
		Address: options.SyncAddress, Certificate: certificate.Get, Client: mgr.GetClient(), Hub: hub, Usage: tracker, Quotas: counted.quotas,
		Traffic: counted.traffic, Clock: clock.RealClock{}, Streams: options.SyncStreams, Seals: seals, Imported: imported,
	})
	if err != nil {
		return fmt.Errorf("adding the sync server: %w", err)
	}
	return nil
}

func addChecks(mgr ctrl.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	// A replica is ready when it answers admission requests, whether it leads or not.
	if err := mgr.AddReadyzCheck("webhooks", mgr.GetWebhookServer().StartedChecker()); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return nil
}
