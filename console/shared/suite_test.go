package shared_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/console/shared"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

func TestSpecs(t *testing.T) { testenv.Run(t, "console/shared") }

const name = "keyward-console-revocations"

// start is of whole milliseconds, as what cookies have.
var start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// install creates the ConfigMap and the Role that are installed in a namespace of its own, and returns that.
func install(ctx context.Context) (namespace string) {
	GinkgoHelper()
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(testenv.Admin.Create(ctx, own)).To(Succeed())
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "console", "replicas", "revocations.yaml"))
	Expect(err).NotTo(HaveOccurred())
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for _, into := range []client.Object{&corev1.ConfigMap{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}} {
		Expect(decoder.Decode(into)).To(Succeed())
		into.SetNamespace(own.Name)
		if binding, ok := into.(*rbacv1.RoleBinding); ok {
			Expect(binding.Subjects).To(HaveExactElements(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "keyward-system", Name: "keyward-console"}))
			binding.Subjects[0].Namespace = own.Name
		}
		Expect(testenv.Admin.Create(ctx, into)).To(Succeed())
	}
	return own.Name
}

// replica is one console with the rights that are installed.
type replica struct {
	*shared.Revocations

	cable *cable
	clock *clocktesting.FakeClock
	stop  func()
}

// run starts a replica. All have the same clock.
func run(namespace string, clock *clocktesting.FakeClock) *replica {
	GinkgoHelper()
	r := &replica{cable: &cable{}, clock: clock}
	config := rest.CopyConfig(testenv.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":keyward-console", Groups: []string{"system:authenticated"}}
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
		r.cable.inner = inner
		return r.cable
	})
	clients, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	r.Revocations, err = shared.New(shared.Config{
		ConfigMaps: clients.CoreV1().ConfigMaps(namespace), Name: name, Now: clock.Now,
		Log: slog.New(slog.NewTextHandler(GinkgoWriter, nil)).With("replica", namespace),
	})
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		Eventually(ended).Should(BeClosed())
	}
	DeferCleanup(r.stop)
	return r
}

// ready waits until a replica accepts anybody.
func (r *replica) ready() *replica {
	GinkgoHelper()
	Eventually(r.Check).Should(Succeed())
	return r
}

// isEnded is for Eventually.
func (r *replica) isEnded(person, session string, since time.Time) func(Gomega) bool {
	return func(g Gomega) bool {
		ended, err := r.Revoked(context.Background(), person, session, since)
		g.Expect(err).NotTo(HaveOccurred())
		return ended
	}
}

// cable is the way of a replica to the API server.
type cable struct {
	inner http.RoundTripper

	mu     sync.Mutex
	isCut  bool
	bodies []io.Closer
}

// RoundTrip implements http.RoundTripper.
func (c *cable) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	isCut := c.isCut
	c.mu.Unlock()
	if isCut {
		return nil, errors.New("the cable is cut")
	}
	response, err := c.inner.RoundTrip(r)
	if err == nil && r.URL.Query().Has("watch") {
		c.mu.Lock()
		c.bodies = append(c.bodies, response.Body)
		c.mu.Unlock()
	}
	return response, err
}

// cut ends what is open, and lets nothing pass.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, one := range c.bodies {
		_ = one.Close()
	}
	c.bodies = nil
}

func (c *cable) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

// edit changes the ConfigMap as somebody with every right would.
func edit(ctx context.Context, namespace string, change func(*corev1.ConfigMap)) {
	GinkgoHelper()
	testenv.Edit(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, change)
}
