package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

const (
	systemNamespace = "keyward-system"

	// patience is how long anything may take on a busy machine.
	patience = time.Minute
)

// root is the repository.
var root = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}()

// cluster is a Kubernetes control plane with Keyward, as make run starts them.
type cluster struct {
	dir, kubeconfig string
	config          *rest.Config
	core            kubernetes.Interface
	admin           client.WithWatch

	programs      *processes.Group
	failed        chan error
	stop, stopped chan struct{}
	background    context.Context
	end           context.CancelFunc
}

// theCluster is for all tests: the first one that needs it starts it, and TestMain ends it.
var theCluster = sync.OnceValues(startCluster)

var running *cluster

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // of clients in this process; the programs have their own
	code := m.Run()
	if running != nil {
		running.end()
		close(running.stop)
		<-running.stopped
		if code == 0 {
			_ = os.RemoveAll(running.dir) // what cannot be removed stays in the temporary directory
		} else {
			fmt.Fprintf(os.Stderr, "gitops: logs are kept in %s\n", running.dir)
		}
	}
	os.Exit(code)
}

// needCluster returns the cluster of all tests.
func needCluster(t *testing.T) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: needs a control plane")
	}
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startCluster() (*cluster, error) {
	dir, err := os.MkdirTemp("", "keyward-gitops-")
	if err != nil {
		return nil, err
	}
	c := &cluster{
		dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"),
		failed: make(chan error, 8), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	c.background, c.end = context.WithCancel(context.Background())
	running = c
	started := make(chan error, 1)
	go c.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// run runs the programs until the end, on a thread that lives as long: Linux kills them with their thread.
func (c *cluster) run(started chan<- error) {
	runtime.LockOSThread()
	defer close(c.stopped)
	c.programs = processes.NewGroup(c.dir, func(err error) { c.failed <- err })
	started <- c.start()
	<-c.stop
	c.programs.Stop(func(string) {})
}

func (c *cluster) start() error {
	ready := &waitsFor{text: "devcluster is ready:", found: make(chan struct{})}
	if err := c.programs.Start(processes.Program{
		Name: "cluster", Grace: patience, Output: ready,
		Command: []string{filepath.Join(root, "bin/devcluster"), "up", "--data-dir", filepath.Join(c.dir, "data"), "--kubeconfig", c.kubeconfig},
	}); err != nil {
		return fmt.Errorf("%w; make bin/devcluster builds it", err)
	}
	select {
	case <-ready.found:
	case err := <-c.failed:
		return err
	case <-time.After(3 * patience):
		return errors.New("Kubernetes does not start")
	}
	var err error
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return err
	}
	c.config.QPS = -1 // tests are in a hurry
	c.config.WarningHandler = rest.NoWarnings{}
	if c.core, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	if c.admin, err = client.NewWithWatch(c.config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return err
	}
	return c.install()
}

// waitsFor closes a channel once a text was written to it.
type waitsFor struct {
	text  string
	seen  bytes.Buffer
	found chan struct{}
}

func (w *waitsFor) Write(p []byte) (int, error) {
	before := bytes.Contains(w.seen.Bytes(), []byte(w.text))
	w.seen.Write(p)
	if !before && bytes.Contains(w.seen.Bytes(), []byte(w.text)) {
		close(w.found)
	}
	return len(p), nil
}

// command runs a program against the cluster, with kubectl and its plugin in the PATH.
func (c *cluster) command(ctx context.Context, dir, input string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl"),
		"PATH="+strings.Join([]string{c.dir, filepath.Join(root, "bin/envtest"), os.Getenv("PATH")}, ":"))
	if command[0] == "kubectl" {
		cmd.Path, cmd.Err = filepath.Join(root, "bin/envtest/kubectl"), nil
	}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	output, err := cmd.Output()
	if err != nil {
		return string(output), fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return string(output), nil
}

// kubectl runs the cluster's own kubectl as its admin.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := c.command(t.Context(), root, "", append([]string{"kubectl"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// namespace creates one, which is deleted when the test ends.
func (c *cluster) namespace(t *testing.T, prefix string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	if err := c.admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.admin.Delete(context.Background(), namespace) }) // the cluster ends anyway
	return namespace.Name
}

// eventually waits until the condition has no error.
func eventually(t *testing.T, what string, condition func(ctx context.Context) error) {
	t.Helper()
	if err := poll(t.Context(), condition); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

func poll(ctx context.Context, condition func(ctx context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == nil, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}
