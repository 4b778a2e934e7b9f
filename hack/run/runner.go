package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/run/content"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

// startTimeout bounds each step. A loaded machine with two cores needs a fraction of it.
const startTimeout = 3 * time.Minute

// runner is one run of make run.
type runner struct {
	root string
	// inPods is set if everything runs on a node.
	inPods   bool
	out      *progress
	fail     context.CancelCauseFunc
	programs *processes.Group

	// Set once there is a cluster, for its admin:
	cluster *rest.Config
	core    kubernetes.Interface
	objects client.Client

	// Closed once the certificates exist.
	certificates <-chan struct{}
	content      *http.Server
	contentPort  int
	// note is the beginning of the instructions if the sample key is not usable.
	note string
}

// local returns a path in the directory of the data that is kept.
func (r *runner) local(path ...string) string {
	return filepath.Join(append([]string{r.root, ".local"}, path...)...)
}

func (r *runner) bin(path ...string) string {
	return filepath.Join(append([]string{r.root, "bin"}, path...)...)
}

func (r *runner) kubeconfig() string { return r.local("kubeconfig") }

// clusterDir has the data of the cluster. One with a node has its own: Pods would not run in the other.
func (r *runner) clusterDir() string {
	if r.inPods {
		return r.local("node")
	}
	return r.local("cluster")
}

// start starts everything, in order.
func (r *runner) start(ctx context.Context) error {
	if r.inPods {
		return r.startInPods(ctx)
	}
	for _, step := range []func(context.Context) error{
		r.startCluster,
		func(ctx context.Context) error { return r.applyConfig(ctx, "config/local") },
		r.startContent,
		r.startManager,
		r.startValidator,
		r.applySamples,
		r.awaitKey,
		r.checkRequests,
		r.startConsole,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop stops everything, in reverse order.
func (r *runner) stop() {
	r.fail(nil) // no more tokens and certificates are written
	r.programs.Stop(func(name string) { r.out.line("stopping the %s", name) })
	if r.content != nil {
		_ = r.content.Close() // its only client has ended
	}
	r.out.line("stopped; everything is kept in .local for the next make run; make clean removes it")
}

// startCluster starts the Kubernetes control plane and connects to it as its admin.
func (r *runner) startCluster(ctx context.Context) error {
	r.out.line("starting Kubernetes; logs are in .local/logs, its own in .local/%s/logs", filepath.Base(r.clusterDir()))
	command := []string{r.bin("devcluster"), "up", "--data-dir", r.clusterDir(), "--kubeconfig", r.kubeconfig()}
	if r.inPods {
		command = append(command, nodeFlags()...)
	}
	ready := newFinder("devcluster is ready:")
	err := r.programs.Start(processes.Program{
		Name:    "cluster",
		Command: command,
		Output:  ready,
		Grace:   time.Minute,
	})
	if err != nil {
		return err
	}
	if err := r.out.await(ctx, "Kubernetes", startTimeout, ready.check); err != nil {
		return err
	}
	if r.cluster, err = clientcmd.BuildConfigFromFlags("", r.kubeconfig()); err != nil {
		return fmt.Errorf("read the admin's kubeconfig: %w", err)
	}
	if r.core, err = kubernetes.NewForConfig(r.cluster); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if r.objects, err = client.New(r.cluster, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	version, err := r.core.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	r.out.line("Kubernetes %s is up at %s", version.GitVersion, r.cluster.Host)
	return nil
}

// startContent serves the sample content on any free port: only the validator needs to know it.
func (r *runner) startContent(ctx context.Context) error {
	file, err := processes.OpenLog(r.local("logs", "content.log"))
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", localAddress(0))
	if err != nil {
		return fmt.Errorf("serve the sample content: %w", err)
	}
	r.contentPort = listener.Addr().(*net.TCPAddr).Port
	r.content = &http.Server{Handler: content.Handler(slog.New(slog.NewTextHandler(file, nil))), ReadHeaderTimeout: time.Minute}
	go func() {
		if err := r.content.Serve(listener); ctx.Err() == nil {
			r.fail(fmt.Errorf("serve the sample content: %w", err))
		}
	}()
	r.out.line("the sample content service is up at %s", localURL(r.contentPort))
	return nil
}
