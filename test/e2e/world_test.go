package e2e

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// world is a namespace of the cluster, with the managers and validation servers of one test.
type world struct {
	*cluster
	t         testing.TB
	ctx       context.Context
	namespace string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{cluster: theCluster(t), t: t, ctx: t.Context()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := w.admin.Create(w.ctx, namespace); err != nil {
		t.Fatal(err)
	}
	w.namespace = namespace.Name
	return w
}

// runs kills a process when the test ends, and keeps its metrics for the final search.
func (w *world) runs(p *process, metrics func() string) {
	w.t.Cleanup(func() {
		if !p.hasEnded() {
			w.keepMetrics(p.name, metrics())
		}
		p.kill()
	})
}

func (w *world) keepMetrics(name, address string) {
	_, body, err := get("http://" + address + "/metrics")
	if err != nil {
		w.t.Errorf("metrics of %s: %v", name, err)
		return
	}
	file, err := os.CreateTemp(w.path("logs"), name+"-*.metrics")
	if err != nil {
		w.t.Error(err)
		return
	}
	if _, err := io.WriteString(file, body); err != nil {
		w.t.Error(err)
	}
	_ = file.Close() // nobody reads it before the end
}

// get requests a URL of a process.
func get(url string) (status int, body string, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// answers200 is a condition.
func answers200(url string) error {
	status, body, err := get(url)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %s", url, status, strings.TrimSpace(body))
	}
	return err
}

// manager is a running manager.
type manager struct {
	*process
	webhooks, metrics, health string

	patience time.Duration
}

// managerSetup says how a manager is started. The zero value is a manager as shipped, without other replicas.
type managerSetup struct {
	binary      string
	environment []string
	flags       []string
	elect       bool
	level       string // of the log; debug by default, the highest
	// startupGrace and grace default to defaultStartupGrace; quick is for tests in which no validation server reconnects.
	startupGrace, grace time.Duration
	// patience is how long it may take to start, if longer than usual.
	patience time.Duration
}

// highest is the highest verbosity of logs.
const highest = "debug"

// Validation servers pause up to 2 s between two attempts to connect.
const (
	defaultStartupGrace = 3 * time.Second
	quick               = 100 * time.Millisecond
)

// detectMutations makes a manager panic if it changes an object of its cache. It keeps copies of all objects for some
// minutes, so that time and memory are measured without it.
const detectMutations = "KUBE_CACHE_MUTATION_DETECTOR=true"

// startManager starts a manager under its ServiceAccount and waits for nothing.
func (w *world) startManager(setup managerSetup) *manager {
	w.t.Helper()
	m := &manager{patience: cmp.Or(setup.patience, patience)}
	for _, address := range []*string{&m.webhooks, &m.metrics, &m.health} {
		var err error
		if *address, err = ports.Free(); err != nil {
			w.t.Fatal(err)
		}
	}
	environment := setup.environment
	if _, measured := w.t.(*testing.B); !measured && os.Getenv(soakEnvironment) == "" {
		environment = append([]string{detectMutations}, environment...)
	}
	var err error
	m.process, err = startProcess(w.path("logs"), "manager", environment, append([]string{
		cmp.Or(setup.binary, bin("e2e", "keyward-manager")),
		"--kubeconfig=" + w.managerConfig,
		"--config=" + filepath.Join(root, "config/manager/manager.yaml"),
		"--webhook-bind-address=" + m.webhooks,
		"--metrics-bind-address=" + m.metrics,
		"--health-probe-bind-address=" + m.health,
		"--sync-bind-address=" + w.syncAddress,
		"--sync-startup-grace=" + cmp.Or(setup.startupGrace, defaultStartupGrace).String(),
		"--sync-grace=" + cmp.Or(setup.grace, defaultStartupGrace).String(),
		fmt.Sprintf("--leader-elect=%t", setup.elect),
		"--log-level=" + cmp.Or(setup.level, highest),
	}, setup.flags...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.webhooks.add(m.webhooks)
	w.t.Cleanup(func() { w.webhooks.remove(m.webhooks) })
	w.runs(m.process, func() string { return m.metrics })
	return m
}

// awaitReady waits until the manager answers admission requests.
func (w *world) awaitReady(m *manager) {
	w.t.Helper()
	eventually(w.t, "the manager", m.patience, func() error {
		if m.hasEnded() {
			return m.complaint()
		}
		return answers200("http://" + m.health + "/readyz")
	})
}

// lead starts the one manager of the test, and waits until it answers and leads.
func (w *world) lead(setup managerSetup) *manager {
	w.t.Helper()
	m := w.startManager(setup)
	w.awaitReady(m)
	w.awaitLeader()
	return m
}

// awaitLeader waits until some manager listens for validation servers.
func (w *world) awaitLeader() {
	w.t.Helper()
	eventually(w.t, "a manager that leads", patience, func() error {
		conn, err := net.DialTimeout("tcp", w.syncAddress, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// create retries while the API server cannot reach the webhooks, because that is not what is tested.
func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.tryCreate(object); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tryCreate(object client.Object) error {
	var refused error
	err := poll(w.ctx, patience, func() error {
		err := w.admin.Create(w.ctx, object)
		if err != nil && !strings.Contains(err.Error(), "failed calling webhook") {
			refused = err
			return nil // trying again does not help
		}
		return err
	})
	return errors.Join(err, refused)
}

// createGroup creates the Group acme with the projects marketing and product.
func (w *world) createGroup() {
	w.t.Helper()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{
		{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}},
		{Name: "product", Routes: []v1alpha1.Route{{Paths: []string{"/prd/**"}}}},
	}
	w.create(group)
}

// newKey is an ApiKey for the project marketing.
func (w *world) newKey(name string) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	key.Spec.GroupRef.Name = "acme"
	key.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	return key
}

func (w *world) createKey(name string, change ...func(*v1alpha1.ApiKey)) {
	w.t.Helper()
	key := w.newKey(name)
	for _, f := range change {
		f(key)
	}
	w.create(key)
}

// awaitKey waits until the ApiKey meets the condition.
func (w *world) awaitKey(name, what string, condition func(*v1alpha1.ApiKey) bool) *v1alpha1.ApiKey {
	w.t.Helper()
	key := &v1alpha1.ApiKey{}
	eventually(w.t, fmt.Sprintf("ApiKey %s to be %s", name, what), patience, func() error {
		if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, key); err != nil {
			return err
		}
		if !condition(key) {
			return fmt.Errorf("its status is %+v", key.Status)
		}
		return nil
	})
	return key
}

// isTrue reports whether a condition is true and not older than the object's spec.
func isTrue(key *v1alpha1.ApiKey, condition string) bool {
	found := meta.FindStatusCondition(key.Status.Conditions, condition)
	return found != nil && found.Status == metav1.ConditionTrue && found.ObservedGeneration == key.Generation
}

// isReady reports whether the key can be used: a key that is refused as declared is ready, too, but not accepted.
func isReady(key *v1alpha1.ApiKey) bool {
	return isTrue(key, v1alpha1.ConditionReady) && isTrue(key, v1alpha1.ConditionAccepted)
}

// isEnforced reports whether the latest change is in force on at least this number of servers.
func isEnforced(servers int32) func(*v1alpha1.ApiKey) bool {
	return func(key *v1alpha1.ApiKey) bool {
		e := key.Status.Enforcement
		return isTrue(key, v1alpha1.ConditionEnforced) && e != nil && e.Acknowledged != nil && *e.Acknowledged >= servers
	}
}

// mint creates an ApiKey, waits until it is ready, and returns the key.
func (w *world) mint(name string, change ...func(*v1alpha1.ApiKey)) string {
	w.t.Helper()
	w.createKey(name, change...)
	w.awaitKey(name, "ready", isReady)
	return w.plaintext(name)
}

// plaintext reads the key from its Secret.
func (w *world) plaintext(name string) string {
	w.t.Helper()
	secret := &corev1.Secret{}
	if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, secret); err != nil {
		w.t.Fatal(err)
	}
	key := string(secret.Data[v1alpha1.SecretKeyAPIKey])
	if key == "" {
		w.t.Fatalf("Secret %s has no %s", name, v1alpha1.SecretKeyAPIKey)
	}
	return key
}

// revoke declares the revocation, and returns when the API server has stored it.
func (w *world) revoke(name string) {
	w.t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"revoked":true}}`))
	eventually(w.t, "the revocation to be admitted", patience, func() error {
		return w.admin.Patch(w.ctx, w.newKey(name), patch)
	})
}

// strangeKey returns a well-formed key that is not published.
func strangeKey(t testing.TB) string {
	t.Helper()
	key, err := keyformat.Mint("acme", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}
