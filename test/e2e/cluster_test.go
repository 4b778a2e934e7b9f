package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/hack/run/mounts"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

const (
	systemNamespace = "keyward-system"
	certificates    = "keyward-certs"
	caFile          = "ca.crt"

	// patience is how long anything without a bound of its own may take, on a busy machine.
	patience = time.Minute
)

// cluster is a Kubernetes control plane with config/local applied, and the files that its Pods would have.
type cluster struct {
	ending

	dir    string
	ctx    context.Context
	cancel context.CancelFunc
	config *rest.Config
	core   kubernetes.Interface
	admin  client.WithWatch

	// syncAddress is where the leader listens, whoever that is.
	syncAddress string
	webhooks    *service
	// certs and ca are volumes of the Secret keyward-certs, issued is closed once they are complete.
	certs, ca mounts.SecretVolume
	issued    <-chan struct{}
	// managerConfig is the kubeconfig of the ServiceAccount keyward-manager.
	managerConfig  string
	validatorToken mounts.Token
	minted         *minted
}

func (c *cluster) path(path ...string) string {
	return filepath.Join(append([]string{c.dir}, path...)...)
}

// shutDown ends background work, and then the control plane.
func (c *cluster) shutDown() {
	c.cancel()
	c.now()
}

func startCluster() (*cluster, error) {
	return startClusterWith((*cluster).startControlPlane, "config/local")
}

// startClusterWith starts a control plane and applies a directory to it.
func startClusterWith(controlPlane func(*cluster) error, dir string) (_ *cluster, err error) {
	data, err := os.MkdirTemp("", "keyward-e2e-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cluster{dir: data, ctx: ctx, cancel: cancel}
	defer func() {
		if err != nil {
			c.shutDown()
		}
	}()
	if err := os.Mkdir(c.path("logs"), 0o700); err != nil {
		return nil, err
	}
	if err := build(ctx); err != nil {
		return nil, err
	}
	if err := controlPlane(c); err != nil {
		return nil, err
	}
	if err := c.install(dir); err != nil {
		return nil, err
	}
	if c.syncAddress, err = ports.Free(); err != nil {
		return nil, err
	}
	c.minted, err = collectKeys(ctx, c.core)
	return c, err
}

// startControlPlane starts Kubernetes and connects to it as its admin.
func (c *cluster) startControlPlane() error {
	kubeconfig := c.path("kubeconfig")
	// Kubernetes' own programs need not look for changes of their caches.
	environment := []string{"KUBE_CACHE_MUTATION_DETECTOR=false"}
	p, err := startProcess(c.path("logs"), "cluster", environment,
		bin("devcluster"), "up", "--data-dir", c.path("cluster"), "--kubeconfig", kubeconfig)
	if err != nil {
		return err
	}
	c.later(func() { p.stop(patience) })
	err = poll(c.ctx, 3*patience, func() error {
		if p.hasEnded() {
			return p.complaint()
		}
		output, err := os.ReadFile(p.log)
		if err == nil && !bytes.Contains(output, []byte("devcluster is ready:")) {
			err = fmt.Errorf("it is not ready yet; its last lines:\n%s", processes.Tail(p.log))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("start Kubernetes: %w", err)
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return err
	}
	c.config.QPS = -1 // tests are in a hurry
	if c.core, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	c.admin, err = client.NewWithWatch(c.config, client.Options{Scheme: controllers.Scheme()})
	return err
}

// install applies a directory, such as config/local as make run does, and provides what the kubelet would.
func (c *cluster) install(dir string) (err error) {
	if _, err := c.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=keyward-e2e", "-k",
		filepath.Join(root, dir)); err != nil {
		return err
	}
	if _, err := c.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", filepath.Join(root, "config/crd/bases")); err != nil {
		return err
	}
	if c.webhooks, err = newService(c.ctx); err != nil {
		return err
	}
	if err := c.pointWebhooksTo(int32(c.webhooks.port())); err != nil {
		return err
	}
	token := mounts.Token{Namespace: systemNamespace, ServiceAccount: "keyward-manager", Dir: c.path("manager", "serviceaccount")}
	c.validatorToken = mounts.Token{
		Namespace: systemNamespace, ServiceAccount: "keyward-validator", Audience: v1alpha1.SyncAudience, Dir: c.path("validator", "token"),
	}
	for _, token := range []mounts.Token{token, c.validatorToken} {
		if err := token.Project(c.ctx, c.core, complain); err != nil {
			return err
		}
	}
	c.managerConfig = c.path("manager", "kubeconfig")
	if err := mounts.WriteKubeconfig(c.managerConfig, c.config, token.Path()); err != nil {
		return err
	}
	c.certs = mounts.SecretVolume{Dir: c.path("manager", "certs"), Items: []string{"tls.crt", "tls.key", caFile}}
	c.ca = mounts.SecretVolume{Dir: c.path("validator", "ca"), Items: []string{caFile}}
	c.issued = mounts.Mirror(c.ctx, c.core, systemNamespace, certificates, []mounts.SecretVolume{c.certs, c.ca}, complain)
	return nil
}

// complain reports errors of background work. The test that needs the work says how it failed.
func complain(err error) { fmt.Fprintln(os.Stderr, "e2e:", err) }

// pointWebhooksTo changes only the port, because the one in config/ may be in use on this machine.
func (c *cluster) pointWebhooksTo(port int32) error {
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	if err := c.admin.Get(c.ctx, client.ObjectKey{Name: "keyward-mutating"}, mutating); err != nil {
		return err
	}
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.Service.Port = &port
	}
	if err := c.admin.Update(c.ctx, mutating); err != nil {
		return err
	}
	if err := c.admin.Get(c.ctx, client.ObjectKey{Name: "keyward-validating"}, validating); err != nil {
		return err
	}
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig.Service.Port = &port
	}
	return c.admin.Update(c.ctx, validating)
}

// kubectl runs the cluster's own kubectl as its admin.
func (c *cluster) kubectl(args ...string) (string, error) {
	cmd := exec.CommandContext(c.ctx, bin("envtest", "kubectl"),
		append([]string{"--kubeconfig", c.path("kubeconfig"), "--cache-dir", c.path("kubectl")}, args...)...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return string(output), nil
}
