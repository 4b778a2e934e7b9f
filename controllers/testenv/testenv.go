package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	_ "github.com/keyward-dev/keyward/controllers/testenv/mutationdetector" // before client-go is initialized
	"github.com/keyward-dev/keyward/internal/inject"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
	webhookv1alpha1 "github.com/keyward-dev/keyward/webhook/v1alpha1"
)

// The API server, webhooks included, is one for all specs; each has a namespace of its own.
var (
	Config   *rest.Config
	Manager  ctrl.Manager  // its cache, its webhooks; no controllers
	Admin    client.Client // without a cache, with every right
	Hub      *publish.Hub
	Sessions *session.Registry // that the Hub asks
	Imported = &publish.Imported{}
	Tiers    = tier.Builtin()
)

// SystemNamespace is that of the manager.
const SystemNamespace = "keyward-system"

// Run starts the API server and runs all specs of the package, which is named for reports.
func Run(t *testing.T, name string) {
	t.Helper()
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	BeforeSuite(start)
	RunSpecs(t, name)
}

func start(ctx SpecContext) {
	logf.SetLogger(GinkgoLogr)
	detector := fmt.Sprintf("%T", toolscache.NewCacheMutationDetector("specs"))
	Expect(detector).To(Equal("*cache.defaultCacheMutationDetector"), "it was set too late")
	root, err := moduleRoot()
	Expect(err).NotTo(HaveOccurred())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config/crd/bases")},
		ErrorIfCRDPathMissing: true,
		WebhookInstallOptions: envtest.WebhookInstallOptions{Paths: []string{filepath.Join(root, "config/webhook/manifests.yaml")}},
	}
	Config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)

	Manager, err = ctrl.NewManager(Config, ctrl.Options{
		Scheme:        controllers.Scheme(),
		Cache:         controllers.CacheOptions(),
		Metrics:       metricsserver.Options{BindAddress: "0"},
		WebhookServer: webhookServer(environment.WebhookInstallOptions),
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(cache.RegisterIndexes(ctx, Manager.GetFieldIndexer())).To(Succeed())
	Expect(webhookv1alpha1.Setup(Manager, Tiers)).To(Succeed())
	webhookv1alpha1.SetupPods(Manager, inject.Config{Image: "keyward/validator:test", ManagerNamespace: SystemNamespace}, nil)
	Sessions = session.NewRegistry(clock.RealClock{}, 0)
	Hub = publish.NewHub(clock.RealClock{}, Sessions, publish.Options{})
	Expect(Manager.Add(&publish.Projector{Hub: Hub, Cache: Manager.GetCache(), Imported: Imported, Seals: Seals()})).To(Succeed())

	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- Manager.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})
	Admin, err = client.New(Config, client.Options{Scheme: controllers.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	Expect(Admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace}})).To(Succeed())
	Eventually(Hub.Opened()).Should(BeClosed())
	Eventually(func() error { return Manager.GetWebhookServer().StartedChecker()(nil) }).Should(Succeed())
}

// webhookServer listens where the API server asks.
func webhookServer(hooks envtest.WebhookInstallOptions) webhook.Server {
	serving, err := tls.LoadX509KeyPair(filepath.Join(hooks.LocalServingCertDir, "tls.crt"),
		filepath.Join(hooks.LocalServingCertDir, "tls.key"))
	Expect(err).NotTo(HaveOccurred())
	server, err := admissionserver.New(admissionserver.Options{
		Address:     net.JoinHostPort(hooks.LocalServingHost, strconv.Itoa(hooks.LocalServingPort)),
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &serving, nil },
		Clock:       clock.RealClock{},
	})
	Expect(err).NotTo(HaveOccurred())
	return server
}

// moduleRoot is the directory of go.mod, above that of the package under test.
func moduleRoot() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", errors.New("no go.mod above the package under test; run it by go test")
		}
		directory = parent
	}
}
