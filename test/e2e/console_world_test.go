package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/internal/role"
)

// consoleHost is the name of the console in the browser, for which every host is this machine.
const consoleHost = "console.example"

// product is all of Keyward, with the Groups acme and beside of its namespace.
type product struct {
	*world
	manager *manager
	proxy   *validator
}

func newProduct(t *testing.T) *product {
	t.Helper()
	p := &product{world: newWorld(t)}
	if err := goBuild(p.ctx, "-o", bin("e2e", "keyward-console"), "./cmd/console"); err != nil {
		t.Fatal(err)
	}
	p.manager = p.lead(managerSetup{startupGrace: quick, flags: []string{"--last-used-resolution=1s"}})
	content := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a scene")) }))
	t.Cleanup(content.Close)
	p.proxy = p.startValidator(validatorSetup{instance: "proxy", upstream: content.URL, flags: []string{"--usage-interval=1s"}})
	p.proxy.awaitReady()
	p.createGroup()
	beside := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "beside"}}
	beside.Spec.Projects = []v1alpha1.Project{{Name: "media", Routes: []v1alpha1.Route{{Paths: []string{"/media/**"}}}}}
	p.create(beside)
	return p
}

// person makes somebody with a role in the namespace, and returns a token of theirs. Who claims keys may read their Secrets.
func (w *world) person(name string, is role.Role, claims bool) (token string) {
	w.t.Helper()
	serviceAccount := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.create(serviceAccount)
	refs := []rbacv1.RoleRef{}
	for _, one := range role.ClusterRoles(is) {
		refs = append(refs, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: one})
	}
	if claims {
		w.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}}})
		refs = append(refs, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name})
	}
	for _, ref := range refs {
		w.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: name + "-"}, RoleRef: ref,
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: name}}})
	}
	made, err := w.core.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return made.Status.Token
}

// console is a running console.
type console struct {
	*process
	t               testing.TB
	world           *world
	dir, pages      string
	health, metrics string
	origin          string
	environment     []string // beside that of the test
	flags           []string // beside those that all have
}

// startConsole starts a console, which lasts as long as the test. Each has limits of sign-ins of its own.
func (w *world) startConsole(t testing.TB, environment ...string) *console {
	t.Helper()
	c := w.newConsole(t, environment...)
	c.start()
	return c
}

// newConsole is startConsole before the start.
func (w *world) newConsole(t testing.TB, environment ...string) *console {
	t.Helper()
	c := &console{t: t, world: w, dir: t.TempDir(), environment: environment}
	c.listen()
	c.origin = "https://" + consoleHost + c.pages[len("127.0.0.1"):]
	secret := make([]byte, keyring.Bytes)
	_, _ = rand.Read(secret) // never fails
	authority, err := w.authority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey(consoleHost, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(c.dir, "keys"), 0o700),
		os.WriteFile(filepath.Join(c.dir, "keys", time.Now().UTC().Format(keyring.Layout)), secret, 0o600),
		os.WriteFile(filepath.Join(c.dir, "tls.crt"), certificate, 0o600), os.WriteFile(filepath.Join(c.dir, "tls.key"), key, 0o600),
		os.WriteFile(filepath.Join(c.dir, caFile), authority, 0o600)); err != nil {
		t.Fatal(err)
	}
	return c
}

// listen chooses the ports.
func (c *console) listen() {
	c.t.Helper()
	for _, address := range []*string{&c.pages, &c.health, &c.metrics} {
		var err error
		if *address, err = ports.Free(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// start starts it, again with the same secrets.
func (c *console) start() {
	c.t.Helper()
	var err error
	c.process, err = startProcess(c.world.path("logs"), "console", c.environment, append([]string{
		bin("e2e", "keyward-console"), "--origin=" + c.origin, "--keys-dir=" + filepath.Join(c.dir, "keys"),
		"--tls-cert=" + filepath.Join(c.dir, "tls.crt"), "--tls-key=" + filepath.Join(c.dir, "tls.key"),
		"--api-server=" + c.world.config.Host, "--api-server-ca-file=" + filepath.Join(c.dir, caFile), "--allow-service-accounts",
		"--namespace=" + c.world.namespace, "--listen=" + c.pages, "--health-listen=" + c.health, "--metrics-listen=" + c.metrics,
		"--log-level=" + highest,
	}, c.flags...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.kill)
	eventually(c.t, "the console", patience, func() error {
		if c.hasEnded() {
			return c.complaint()
		}
		return answers200("http://" + c.health + "/readyz")
	})
}

// answersTo waits until the proxy answers to a key with a status.
func (p *product) answersTo(t testing.TB, key string, status int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d at the proxy", status), patience, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.proxy.listens.Proxy.String()+"/mkt/scene", http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("X-Api-Key", key)
		response, err := p.proxy.requests.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			return fmt.Errorf("it answers %s", response.Status)
		}
		return nil
	})
}
