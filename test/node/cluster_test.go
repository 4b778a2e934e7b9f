package node

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	systemNamespace  = "keyward-system"
	contentNamespace = "content"
	tenantNamespace  = "acme"

	pollInterval = 200 * time.Millisecond
	// patience bounds every wait. A loaded machine with two cores needs a fraction of it.
	patience = 3 * time.Minute
)

// built are the images of this checkout, each of one static program.
var built = map[string]string{"keyward/manager:latest": "manager", "keyward/validator:latest": "validator"}

// around are the images of what is around Keyward.
var around = map[string]string{
	"keyward/content:latest": "contentserver",
	"bakery/content:1.0.0":   "contentserver",
	appImage:                 "app",
}

const appImage = "localhost/keyward-test/app:dev"

// cluster is a running cluster with a node.
type cluster struct {
	dir    string
	flags  []string // of devcluster up
	up     *exec.Cmd
	stderr bytes.Buffer

	objects client.Client
	core    kubernetes.Interface

	loads []load // what is sent all the time
	rows  []row  // what came of it
}

// startCluster starts a cluster with a node, which ends with the test. Its data and logs are kept if the test fails.
func startCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyward-node-") //nolint:usetesting // it is kept if the test fails
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: dir, flags: flags}
	t.Cleanup(func() {
		c.stop(t)
		if t.Failed() {
			t.Logf("logs and data are kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("what the node stored cannot be removed: %v", err)
		}
	})
	c.start(t)
	return c
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// start starts the cluster, with what it has stored if it ran before.
func (c *cluster) start(t *testing.T) {
	t.Helper()
	begin := time.Now()
	c.up = exec.Command(bin("devcluster"), append([]string{
		"up", "--node", "--data-dir", filepath.Join(c.dir, "data"), "--kubeconfig", c.kubeconfig(),
	}, c.flags...)...)
	c.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.up.Stderr = &c.stderr
	stdout, err := c.up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.up.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "devcluster is ready: ") {
		_ = c.up.Wait()
		c.up = nil
		t.Fatalf("the cluster did not start: %q %s", line, c.stderr.String())
	}
	t.Logf("the cluster is ready after %s", time.Since(begin).Round(100*time.Millisecond))
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if c.objects, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	if c.core, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
}

// kubeletSync is short, because a file of a Secret is renewed as late as that. KEYWARD_NODE_SYNC=1m is what nodes have by default.
func kubeletSync() string {
	if sync := os.Getenv("KEYWARD_NODE_SYNC"); sync != "" {
		return sync
	}
	return "2s"
}

func (c *cluster) stop(t *testing.T) {
	t.Helper()
	if c.up == nil {
		return
	}
	_ = c.up.Process.Signal(os.Interrupt) // fails only when it has already ended
	if err := c.up.Wait(); err != nil {
		t.Errorf("an interrupted cluster ends with %v, want success: %s", err, c.stderr.String())
	}
	c.up = nil
}

// load gives the node images: archives, or of static programs.
func (c *cluster) load(t *testing.T, archives []string, programs ...map[string]string) {
	t.Helper()
	args := append([]string{"load", "--data-dir", filepath.Join(c.dir, "data")}, archives...)
	for _, images := range programs {
		for image, program := range images {
			args = append(args, image+"="+bin("static", program))
		}
	}
	if out, err := exec.CommandContext(t.Context(), bin("devcluster"), args...).CombinedOutput(); err != nil {
		t.Fatalf("devcluster load: %v: %s", err, out)
	}
}

// kubectl runs the cluster's kubectl and returns its output.
func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	all := append([]string{"kubectl", "--kubeconfig", c.kubeconfig(), "--cache-dir", filepath.Join(c.dir, "kubectl")}, args...)
	out, err := exec.CommandContext(ctx, bin("devcluster"), all...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (c *cluster) mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies YAML.
func (c *cluster) apply(t *testing.T, yaml string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c.applied(t, "-f", path)
}

// applied applies files. A manager that has just become ready is not yet behind its Service: kube-proxy refuses connections to a
// Service without endpoints, and needs a second for new ones.
func (c *cluster) applied(t *testing.T, files ...string) {
	t.Helper()
	await(t, "the webhooks", func(ctx context.Context) error {
		_, err := c.kubectl(ctx, append([]string{"apply", "--server-side"}, files...)...)
		if err != nil && !strings.Contains(err.Error(), "failed calling webhook") {
			t.Fatal(err) // waiting does not help
		}
		return err
	})
}

// await repeats a check until it succeeds.
func await(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", patience, what, err)
		case <-ticker.C:
		}
	}
}
