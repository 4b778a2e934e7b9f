package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/keyward-dev/keyward/hack/run/processes"
)

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// cluster is a Kubernetes control plane.
type cluster struct {
	dir, kubeconfig string
	config          *rest.Config
	core            kubernetes.Interface
	dynamic         dynamic.Interface
	mapper          *restmapper.DeferredDiscoveryRESTMapper
	warnings        *warnings

	stop, stopped chan struct{}
}

// theCluster is for all tests: the first one that needs it starts it, and TestMain ends it.
var theCluster = sync.OnceValues(startCluster)

var running *cluster

func TestMain(m *testing.M) {
	code := m.Run()
	if running != nil {
		close(running.stop)
		<-running.stopped
		if err := os.RemoveAll(running.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

func needCluster(t *testing.T) *cluster {
	t.Helper()
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
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

func startCluster() (*cluster, error) {
	dir, err := os.MkdirTemp("", "keyward-chart-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), stop: make(chan struct{}), stopped: make(chan struct{})}
	running = c
	ready := &waitsFor{text: "devcluster is ready:", found: make(chan struct{})}
	failed := make(chan error, 2)
	go c.run(ready, func(err error) { failed <- err })
	select {
	case <-ready.found:
	case err := <-failed:
		return nil, err
	case <-time.After(3 * patience):
		return nil, errors.New("Kubernetes does not start")
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return nil, err
	}
	c.config.QPS, c.warnings = -1, &warnings{}
	c.config.WarningHandler = c.warnings
	if c.core, err = kubernetes.NewForConfig(c.config); err != nil {
		return nil, err
	}
	if c.dynamic, err = dynamic.NewForConfig(c.config); err != nil {
		return nil, err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.core.Discovery()))
	return c, nil
}

// run runs Kubernetes until it is stopped, on a thread that lives as long: Linux kills it with its thread.
func (c *cluster) run(ready *waitsFor, failed func(error)) {
	runtime.LockOSThread()
	defer close(c.stopped)
	programs := processes.NewGroup(c.dir, failed)
	binary, err := filepath.Abs(root + "/bin/devcluster")
	if err == nil {
		err = programs.Start(processes.Program{
			Name: "cluster", Grace: patience, Output: ready,
			Command: []string{binary, "up", "--data-dir", filepath.Join(c.dir, "data"), "--kubeconfig", c.kubeconfig},
		})
	}
	if err != nil {
		failed(fmt.Errorf("%w; make bin/devcluster builds it", err))
	}
	<-c.stop
	programs.Stop(func(string) {})
}

// warnings are what the API server has said in addition to its responses.
type warnings struct {
	mu  sync.Mutex
	all []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// take returns the warnings since the last call.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// resource is the API for objects of a kind, in a namespace if they have one.
func (c *cluster) resource(o object) (dynamic.ResourceInterface, error) {
	u := &unstructured.Unstructured{Object: o}
	gvk := u.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource).Namespace(o.namespace()), nil
	}
	return c.dynamic.Resource(mapping.Resource), nil
}

// apply applies an object strictly.
func (c *cluster) apply(ctx context.Context, o object, dryRun ...string) error {
	resource, err := c.resource(o)
	if err != nil {
		return err
	}
	encoded, err := (&unstructured.Unstructured{Object: o}).MarshalJSON()
	if err != nil {
		return err
	}
	_, err = resource.Patch(ctx, o.name(), types.ApplyPatchType, encoded, metav1.PatchOptions{
		DryRun: dryRun, FieldManager: "chart-test", FieldValidation: metav1.FieldValidationStrict, Force: new(true),
	})
	return err
}

// get returns an object of that kind and name.
func (c *cluster) get(ctx context.Context, apiVersion, kind, namespace, name string) (object, error) {
	o := object{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"namespace": namespace, "name": name}}
	resource, err := c.resource(o)
	if err != nil {
		return nil, err
	}
	found, err := resource.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.Object, nil
}

// served is the condition that the API server serves the kind of a CRD.
func (c *cluster) served(name string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		crd, err := c.get(ctx, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
		if err != nil {
			return err
		}
		conditions, _ := crd.at("status", "conditions").([]any)
		for _, found := range conditions {
			condition, _ := found.(map[string]any)
			if condition["type"] == "Established" && condition["status"] == "True" {
				return nil
			}
		}
		return fmt.Errorf("%s is not established: %v", name, conditions)
	}
}

// eventually waits until the condition has no error.
func eventually(t *testing.T, what string, condition func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v: %v", what, err, last)
	}
}
