package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestCluster makes two runs on one data directory. It is a single test, because starting a cluster takes most of the time.
func TestCluster(t *testing.T) {
	dir := t.TempDir()
	first := up(t, dir)
	admin := first.client(t)

	t.Run("reports the version it was built from", func(t *testing.T) {
		version, err := admin.Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), binary(t), "version").Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(string(out)); version.GitVersion != want ||
			!strings.HasPrefix(want, "v"+version.Major+"."+version.Minor+".") {
			t.Errorf("the server says %+v, the binary %s", version, want)
		}
	})
	t.Run("the kubeconfig is private", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(dir, "kubeconfig"))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("mode %o, want 600", mode)
		}
	})

	create(t, admin.CoreV1().Namespaces().Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "acme"}})
	t.Run("tokens of ServiceAccounts authenticate and RBAC denies", func(t *testing.T) { testToken(t, first, admin) })
	t.Run("garbage collection deletes dependents", func(t *testing.T) { testGarbageCollection(t, admin) })
	t.Run("the namespace controller finishes deletion", func(t *testing.T) { testNamespaceDeletion(t, admin) })
	t.Run("namespaces get a ServiceAccount and the root certificates", func(t *testing.T) { testNewNamespace(t, first, admin) })
	t.Run("Secrets for tokens are filled in", func(t *testing.T) { testTokenSecret(t, first, admin) })
	t.Run("ClusterRoles are aggregated", func(t *testing.T) { testAggregation(t, admin) })
	t.Run("ResourceQuotas are counted", func(t *testing.T) { testQuota(t, admin) })
	t.Run("a second cluster on the same data is refused", func(t *testing.T) {
		out, err := command(t, dir).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "another devcluster is running in") {
			t.Errorf("got %v: %s", err, out)
		}
	})
	first.stop(t)

	second := up(t, dir)
	t.Run("a restart keeps data, port and credentials", func(t *testing.T) {
		// The client of the first run: same address, same authority.
		if _, err := admin.CoreV1().Namespaces().Get(t.Context(), "acme", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
	second.stop(t)
}

// TestComponentEnds shows that the end of a component ends the cluster with its name and its log.
func TestComponentEnds(t *testing.T) {
	dir := t.TempDir()
	// etcd refuses a data directory that is a file.
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "etcd"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, dir).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit code 1", err)
	}
	if !strings.Contains(string(out), "devcluster: etcd ended: exit status 1; the end of ") {
		t.Errorf("got %s", out)
	}
}

func testToken(t *testing.T, c *running, admin kubernetes.Interface) {
	const audience = "example.com/audience"
	create(t, admin.CoreV1().ServiceAccounts("acme").Create, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app"}})
	token := func(audiences ...string) string {
		request, err := admin.CoreV1().ServiceAccounts("acme").CreateToken(t.Context(), "app",
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return request.Status.Token
	}

	config := rest.AnonymousClientConfig(c.config(t))
	config.BearerToken = token()
	app := kubernetes.NewForConfigOrDie(config)
	if _, err := app.CoreV1().Secrets("acme").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets without a Role: got %v, want Forbidden", err)
	}

	review := create(t, admin.AuthenticationV1().TokenReviews().Create, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token(audience), Audiences: []string{audience}},
	})
	if !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:acme:app" {
		t.Errorf("review of a bound token: %+v", review.Status)
	}
	review = create(t, admin.AuthenticationV1().TokenReviews().Create, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token(), Audiences: []string{audience}},
	})
	if review.Status.Authenticated {
		t.Error("a token for another audience was accepted")
	}
}

func testGarbageCollection(t *testing.T, admin kubernetes.Interface) {
	maps := admin.CoreV1().ConfigMaps("acme")
	owner := create(t, maps.Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}})
	create(t, maps.Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "dependent", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID,
	}}}})
	if err := maps.Delete(t.Context(), owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone(t, func(ctx context.Context) error {
		_, err := maps.Get(ctx, "dependent", metav1.GetOptions{})
		return err
	})
}

func testNamespaceDeletion(t *testing.T, admin kubernetes.Interface) {
	namespaces := admin.CoreV1().Namespaces()
	create(t, namespaces.Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "passing"}})
	if err := namespaces.Delete(t.Context(), "passing", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone(t, func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, "passing", metav1.GetOptions{})
		return err
	})
}

func create[T any](t *testing.T, call func(context.Context, T, metav1.CreateOptions) (T, error), object T) T {
	t.Helper()
	created, err := call(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func gone(t *testing.T, get func(context.Context) error) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsNotFound(get(ctx)), nil
	})
	if err != nil {
		t.Errorf("still there: %v", err)
	}
}

// running is "devcluster up" as a process, as its users run it.
type running struct {
	cmd        *exec.Cmd
	kubeconfig string
}

func up(t *testing.T, dir string, flags ...string) *running {
	t.Helper()
	cmd := command(t, dir, flags...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "devcluster is ready: ") {
		_ = cmd.Wait()
		t.Fatalf("not ready: %q %s", line, stderr.String())
	}
	return &running{cmd: cmd, kubeconfig: filepath.Join(dir, "kubeconfig")}
}

func (r *running) config(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (r *running) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	return kubernetes.NewForConfigOrDie(r.config(t))
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("an interrupted cluster ends with %v, want success", err)
	}
}

// command returns "devcluster up" in dir. It does not outlive a failed test.
func command(t *testing.T, dir string, flags ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{"up", "--data-dir", filepath.Join(dir, "data"), "--kubeconfig", filepath.Join(dir, "kubeconfig")}, flags...)
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../bin/devcluster")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make bin/devcluster first", err)
	}
	return path
}
