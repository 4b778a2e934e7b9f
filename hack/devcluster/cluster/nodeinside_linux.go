package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/keyward-dev/keyward/hack/devcluster/node"
)

// run runs the cluster in the namespaces that this process is in. It says on out when the cluster is ready, and returns when it
// receives SIGTERM.
func (i inside) run(out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := node.SetUp(i.Options.DataDir); err != nil {
		return fmt.Errorf("set up the node: %w", err)
	}
	i.Options.DataDir, i.Options.Port = node.Dir, apiServerPort
	base, err := newPlan(ctx, i.Options)
	if err != nil {
		return err
	}
	plan, err := newNodePlan(base, i.Node, i.Cgroup)
	if err != nil {
		return err
	}
	group := &processes{executable: i.Options.Executable, logs: filepath.Join(node.Dir, "logs"), exited: make(chan exit, 8)}
	defer func() {
		timeout := stopTimeout
		if err != nil {
			timeout = failTimeout
		}
		// Like a machine that is switched off: Pods end at once. Otherwise the API server would wait for their requests.
		group.stopAfter("kube-apiserver", timeout)
		if killed := node.KillAll(i.Cgroup); err == nil {
			err = killed
		}
		group.stop(timeout)
	}()
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := i.start(starting, group, plan); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting: that is no failure
		}
		return err
	}
	if err := i.forward(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, insideReady); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case exit := <-group.exited:
		return exit.err()
	}
}

// start starts the components in order and returns when Pods can use the cluster.
func (i inside) start(ctx context.Context, group *processes, plan *nodePlan) error {
	probe, err := newProbe(plan.server(), plan.authority.Cert(), plan.admin)
	if err != nil {
		return err
	}
	program := func(name string) string { return filepath.Join(i.Node.Programs, name) }
	containerd := []string{"containerd", "--config", filepath.Join(plan.dir, "containerd.toml")}
	if err := group.startCommand("containerd", containerd); err != nil {
		return err
	}
	if err := group.start("etcd", plan.etcd()); err != nil {
		return err
	}
	if err := group.start("kube-apiserver", plan.apiserver()); err != nil {
		return err
	}
	if err := group.await(ctx, "containerd", func(ctx context.Context) error {
		return exec.CommandContext(ctx, "ctr", "--address", containerdSocket, "version").Run()
	}); err != nil {
		return err
	}
	for _, source := range []string{pauseImage + "=" + program("pause"), dnsImage + "=" + program("coredns")} {
		if err := importImage(ctx, containerdSocket, source); err != nil {
			return err
		}
	}
	if err := group.await(ctx, "the API server's /readyz", probe.get("/readyz")); err != nil {
		return err
	}
	for _, component := range []struct {
		name string
		args []string
	}{
		{"kube-controller-manager", plan.controllerManager()},
		{"kube-scheduler", plan.scheduler()},
		{"kubelet", plan.kubelet()},
		{"kube-proxy", plan.proxy()},
	} {
		command := append([]string{program("devcluster-node"), component.name}, component.args...)
		if err := group.startCommand(component.name, command); err != nil {
			return err
		}
	}
	apply := exec.CommandContext(ctx, i.Options.Executable, "kubectl", "--kubeconfig", plan.kubeconfig("admin"),
		"--cache-dir", "/run/kubectl", "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(plan.dir, "coredns.yaml"))
	if output, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("install DNS: %w: %s", err, output)
	}
	for what, check := range map[string]func(context.Context) error{
		"the node": probe.condition("/api/v1/nodes/"+node.Name, "Ready"),
		"DNS":      probe.condition("/apis/apps/v1/namespaces/kube-system/deployments/coredns", "Available"),
		// The first thing that any workload needs, and proof that the controllers work.
		"the default ServiceAccount": probe.get("/api/v1/namespaces/default/serviceaccounts/default"),
	} {
		if err := group.await(ctx, what, check); err != nil {
			return err
		}
	}
	return nil
}

// forward serves the inherited ports of the host.
func (i inside) forward(ctx context.Context) error {
	for index, forward := range i.Node.Forwards {
		file := os.NewFile(uintptr(3+index), "port "+forward.Port)
		listener, err := net.FileListener(file)
		_ = file.Close() // the listener is a duplicate
		if err != nil {
			return fmt.Errorf("forward port %s: %w", forward.Port, err)
		}
		go node.Forward(ctx, listener, forward.Target)
	}
	return nil
}

// condition returns a check that an object has a condition with status True, for its present generation.
func (p *probe) condition(path, kind string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+path, http.NoBody)
		if err != nil {
			return err
		}
		response, err := p.client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		var object struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&object); err != nil {
			return fmt.Errorf("%s answers %s: %w", path, response.Status, err)
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == kind {
				if condition.Status == "True" {
					return nil
				}
				return fmt.Errorf("%s is %s: %s", kind, condition.Status, condition.Message)
			}
		}
		return fmt.Errorf("%s is not known yet", kind)
	}
}
