package controllers_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/apikey"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/domainallowlist"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
	webhookv1alpha1 "github.com/keyward-dev/keyward/webhook/v1alpha1"
)

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "controllers")
}

// The API server, webhooks included, is one for all specs; each has a namespace of its own.
var (
	config   *rest.Config
	manager  ctrl.Manager // its cache, its webhooks; no controllers
	admin    client.Client
	hub      *publish.Hub
	imported = &publish.Imported{}
	tiers    = tier.Builtin()
)

var _ = BeforeSuite(func(ctx SpecContext) {
	logf.SetLogger(GinkgoLogr)
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{"../config/crd/bases"},
		ErrorIfCRDPathMissing: true,
		WebhookInstallOptions: envtest.WebhookInstallOptions{Paths: []string{"../config/webhook/manifests.yaml"}},
	}
	var err error
	config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)

	hooks := environment.WebhookInstallOptions
	serving, err := tls.LoadX509KeyPair(filepath.Join(hooks.LocalServingCertDir, "tls.crt"), filepath.Join(hooks.LocalServingCertDir, "tls.key"))
	Expect(err).NotTo(HaveOccurred())
	server, err := admissionserver.New(admissionserver.Options{
		Address:     net.JoinHostPort(hooks.LocalServingHost, strconv.Itoa(hooks.LocalServingPort)),
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &serving, nil },
		Clock:       clock.RealClock{},
	})
	Expect(err).NotTo(HaveOccurred())
	manager, err = ctrl.NewManager(config, ctrl.Options{
		Scheme:        controllers.Scheme(),
		Cache:         controllers.CacheOptions(),
		Metrics:       metricsserver.Options{BindAddress: "0"},
		WebhookServer: server,
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(cache.RegisterIndexes(ctx, manager.GetFieldIndexer())).To(Succeed())
	Expect(webhookv1alpha1.Setup(manager, tiers)).To(Succeed())
	hub = publish.NewHub(clock.RealClock{}, publish.Options{})
	Expect(manager.Add(&publish.Projector{Hub: hub, Cache: manager.GetCache(), Imported: imported})).To(Succeed())

	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- manager.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})
	admin, err = client.New(config, client.Options{Scheme: controllers.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	Expect(admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}})).To(Succeed())
	Eventually(hub.Opened()).Should(BeClosed())
	Eventually(func() error { return manager.GetWebhookServer().StartedChecker()(nil) }).Should(Succeed())
})

// systemNamespace is that of the manager.
const systemNamespace = "keyward-system"

// world is a namespace with what acts in it.
type world struct {
	namespace string
	clock     *clocktesting.FakeClock
	recorder  *events.FakeRecorder
	usage     *usage.Tracker
	keys      *apikey.Reconciler
	tiers     *tier.Catalogue
}

func newWorld(ctx context.Context) *world {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	w := &world{
		namespace: namespace.Name,
		clock:     clocktesting.NewFakeClock(time.Now()),
		recorder:  events.NewFakeRecorder(1000),
		tiers:     tiers,
	}
	DeferCleanup(w.expectKnownConditions)
	w.usage = usage.NewTracker(w.clock)
	w.restart()
	return w
}

// restart replaces the reconciler by one that remembers nothing, as that of a new process.
func (w *world) restart() {
	w.keys = &apikey.Reconciler{
		Client: manager.GetClient(), APIReader: manager.GetAPIReader(), Hub: hub,
		Recorder: w.recorder, Clock: w.clock, Random: rand.Reader, Usage: w.usage, Tiers: w.tiers, LastUsedResolution: time.Minute,
		Seals: seals(), Memory: memory(w.clock),
	}
}

// seals is the manager's secret, as a new process reads it.
func seals() *seal.Keeper {
	return &seal.Keeper{Reader: manager.GetAPIReader(), Client: manager.GetClient(), Namespace: systemNamespace, Random: rand.Reader}
}

// memory is what the manager has remembered, as a new process reads it.
func memory(clk clock.PassiveClock) *revoked.Memory {
	return &revoked.Memory{Reader: manager.GetAPIReader(), Client: manager.GetClient(), Namespace: systemNamespace, Clock: clk}
}

func (w *world) reconcileKey(ctx context.Context, name string) (reconcile.Result, error) {
	return w.keys.Reconcile(ctx, w.request(name))
}

func (w *world) reconcileGroup(ctx context.Context, name string) error {
	r := &group.Reconciler{Client: manager.GetClient(), Hub: hub, Tiers: w.tiers, Recorder: w.recorder, Clock: w.clock}
	_, err := r.Reconcile(ctx, w.request(name))
	return err
}

func (w *world) reconcileAllowlist(ctx context.Context, name string) error {
	r := &domainallowlist.Reconciler{Client: manager.GetClient(), Recorder: w.recorder, Clock: w.clock}
	_, err := r.Reconcile(ctx, w.request(name))
	return err
}

func (w *world) request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}}
}

// settle reconciles the key, as its watches would, until the object satisfies the check.
func (w *world) settle(ctx context.Context, name string, check func(Gomega, *v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	GinkgoHelper()
	key := &v1alpha1.ApiKey{}
	Eventually(func(g Gomega) {
		_, err := w.reconcileKey(ctx, name)
		g.Expect(client.IgnoreAlreadyExists(err)).NotTo(HaveOccurred())
		g.Expect(admin.Get(ctx, w.request(name).NamespacedName, key)).To(Succeed())
		check(g, key)
	}).Should(Succeed())
	w.cached(ctx, key)
	return key
}

// cached waits until the manager's cache has the key as it is, and the Secret if there is one.
func (w *world) cached(ctx context.Context, key *v1alpha1.ApiKey) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		seen := &v1alpha1.ApiKey{}
		g.Expect(manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key), seen)).To(Succeed())
		g.Expect(seen.ResourceVersion).To(Equal(key.ResourceVersion))
		if key.Status.SecretRef != nil && key.Status.State == v1alpha1.KeyActive {
			secret := &corev1.Secret{}
			g.Expect(manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key), secret)).To(Succeed())
		}
	}).Should(Succeed())
}

func (w *world) group(ctx context.Context, change ...func(*v1alpha1.Group)) *v1alpha1.Group {
	GinkgoHelper()
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	g.Spec.Projects = []v1alpha1.Project{
		{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}},
		{Name: "product", Routes: []v1alpha1.Route{{Paths: []string{"/prd/**"}}}},
	}
	for _, f := range change {
		f(g)
	}
	Expect(admin.Create(ctx, g)).To(Succeed())
	return g
}

// admitting has a Group admit the other namespace while that has the label.
func admitting(other *world) func(*v1alpha1.Group) {
	return func(g *v1alpha1.Group) {
		g.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{
			From:     v1alpha1.NamespacesFromSelector,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"admitted": other.namespace}},
		}
		g.Spec.AllowlistsFrom = *g.Spec.AllowedNamespaces.DeepCopy()
	}
}

func (w *world) newKey(change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}
	key.Spec.GroupRef.Name = "acme"
	key.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	for _, f := range change {
		f(key)
	}
	return key
}

func (w *world) key(ctx context.Context, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	GinkgoHelper()
	key := w.newKey(change...)
	Expect(admin.Create(ctx, key)).To(Succeed())
	return key
}

// edit changes an object as a user would.
func edit[T client.Object](ctx context.Context, object T, change func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		change(object)
		return admin.Update(ctx, object)
	}).Should(Succeed())
}

// events are the texts of all events so far.
func (w *world) events() string {
	all := ""
	for {
		select {
		case event := <-w.recorder.Events:
			all += event + "\n"
		default:
			return all
		}
	}
}

func (w *world) selects(identity string) bool {
	return identity == fmt.Sprintf("%s/acme", w.namespace)
}

// peer is a validation server of the world's Group, to its tracker.
func (w *world) peer(instance string) usage.Peer {
	return usage.Peer{Instance: instance, Serves: w.selects, GroupOf: hub.GroupOf}
}
