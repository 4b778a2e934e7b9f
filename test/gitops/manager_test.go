package gitops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/hack/run/mounts"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

// install applies config/local and starts the manager, with what its Pod would have: the rights of its ServiceAccount, its
// certificates and its configuration.
func (c *cluster) install() error {
	for program, path := range map[string]string{"keyward-manager": "./cmd/manager", "kubectl-keyward": "./cmd/kubectl-keyward"} {
		cmd := exec.CommandContext(c.background, "go", "build", "-o", filepath.Join(c.dir, program), path)
		cmd.Dir = root
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", program, err, output)
		}
	}
	for _, command := range [][]string{
		{"kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=keyward-run", "-k", "config/local"},
		{"kubectl", "wait", "--for=condition=Established", "--timeout=60s", "-f", "config/crd/bases"},
	} {
		if _, err := c.command(c.background, root, "", command...); err != nil {
			return err
		}
	}
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = ports.Free(); err != nil {
			return err
		}
	}
	webhooks, health, stream := addresses[0], addresses[1], addresses[2]
	if err := c.pointWebhooksTo(webhooks); err != nil {
		return err
	}
	kubeconfig, certs, err := c.mounts()
	if err != nil {
		return err
	}
	if err := c.programs.Start(processes.Program{Name: "manager", Grace: patience, Command: []string{
		filepath.Join(c.dir, "keyward-manager"), "--kubeconfig=" + kubeconfig, "--config=" + filepath.Join(root, "config/manager/manager.yaml"),
		"--cert-dir=" + certs, "--webhook-bind-address=" + webhooks, "--health-probe-bind-address=" + health, "--metrics-bind-address=0",
		"--sync-bind-address=" + stream, "--sync-startup-grace=100ms", "--sync-grace=100ms", "--leader-elect=false",
	}}); err != nil {
		return err
	}
	return poll(c.background, func(ctx context.Context) error {
		return errors.Join(c.answers(ctx, "http://"+health+"/readyz"), c.reachesWebhooks(ctx))
	})
}

// mounts provides what the kubelet would.
func (c *cluster) mounts() (kubeconfig, certs string, err error) {
	complain := func(err error) { fmt.Fprintln(os.Stderr, "gitops:", err) }
	token := mounts.Token{Namespace: systemNamespace, ServiceAccount: "keyward-manager", Dir: filepath.Join(c.dir, "token")}
	if err := token.Project(c.background, c.core, complain); err != nil {
		return "", "", err
	}
	kubeconfig, certs = filepath.Join(c.dir, "manager-kubeconfig"), filepath.Join(c.dir, "certs")
	mounts.Mirror(c.background, c.core, systemNamespace, "keyward-certs",
		[]mounts.SecretVolume{{Dir: certs, Items: []string{"tls.crt", "tls.key", "ca.crt"}}}, complain)
	return kubeconfig, certs, mounts.WriteKubeconfig(kubeconfig, c.config, token.Path())
}

// pointWebhooksTo changes only the port, because the one in config/ may be in use on this machine.
func (c *cluster) pointWebhooksTo(address string) error {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return err
	}
	port := int32(number)
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	if err := c.admin.Get(c.background, client.ObjectKey{Name: "keyward-mutating"}, mutating); err != nil {
		return err
	}
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.Service.Port = &port
	}
	if err := c.admin.Update(c.background, mutating); err != nil {
		return err
	}
	if err := c.admin.Get(c.background, client.ObjectKey{Name: "keyward-validating"}, validating); err != nil {
		return err
	}
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig.Service.Port = &port
	}
	return c.admin.Update(c.background, validating)
}

func (c *cluster) answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%w; its log:\n%s", err, processes.Tail(filepath.Join(c.dir, "manager.log")))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the manager is not ready: %s", response.Status)
	}
	return nil
}

// reachesWebhooks is the condition that the API server has their certificate.
func (c *cluster) reachesWebhooks(ctx context.Context) error {
	group := probe.DeepCopy()
	return c.admin.Create(ctx, group, &client.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}
