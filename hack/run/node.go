package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/keyward-dev/keyward/hack/run/processes"
)

// With --node, everything runs in Pods on a node that devcluster starts, and its ports on this machine lead to Services.

const (
	validatorService = "keyward-validator." + systemNamespace + ".svc"
	consoleService   = "keyward-console." + systemNamespace + ".svc"
)

// nodeImages are the images that the node gets, and the static programs that they consist of.
var nodeImages = [][2]string{
	{"keyward/manager:latest", "manager"},
	{"keyward/validator:latest", "validator"},
	{"keyward/content:latest", "contentserver"},
	{"keyward/console:latest", "console"},
}

// workloads are waited for, in this order.
var workloads = [][2]string{
	{systemNamespace, "keyward-manager"}, {"content", "content"}, {systemNamespace, "keyward-validator"},
}

// startInPods starts everything, in order.
func (r *runner) startInPods(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		r.startCluster,
		r.loadImages,
		func(ctx context.Context) error { return r.applyConfig(ctx, "config/node") },
		r.createAdminToken,
		r.awaitWorkloads,
		r.applySamples,
		r.awaitKey,
		r.checkRequests,
		r.startConsoleInPods,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// nodeFlags are devcluster's.
func nodeFlags() []string {
	flags := []string{"--node", "--kubelet-sync=5s"} // so that nobody has to wait a minute for a new key in a Pod
	for _, port := range forwardedPorts {
		flags = append(flags, fmt.Sprintf("--forward=%d=%s:%d", port, validatorService, port))
	}
	return append(flags, fmt.Sprintf("--forward=%d=%s:443", consolePort, consoleService))
}

// forwardedPorts are the validators' ports.
var forwardedPorts = []int{proxyPort, httpPort, grpcPort}

// loadImages gives the node its images, which are made from what was built.
func (r *runner) loadImages(ctx context.Context) error {
	args := []string{"load", "--data-dir", r.clusterDir()}
	for _, image := range nodeImages {
		args = append(args, image[0]+"="+r.bin("static", image[1]))
	}
	cmd := exec.CommandContext(ctx, r.bin("devcluster"), args...)
	cmd.SysProcAttr = processes.Attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load the images: %w: %s", err, out)
	}
	r.out.line("%d images are loaded", len(nodeImages))
	return nil
}

// createAdminToken makes the token for the validators' decisions, unless an earlier run has. Their Pods wait for it.
func (r *runner) createAdminToken(ctx context.Context) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: adminSecret},
		StringData: map[string]string{adminTokenEntry: rand.Text()},
	}
	if err := r.objects.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the token for decisions: %w", err)
	}
	return nil
}

func (r *runner) awaitWorkloads(ctx context.Context) error {
	for _, workload := range workloads {
		if err := r.awaitWorkload(ctx, workload[0], workload[1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) awaitWorkload(ctx context.Context, namespace, name string) error {
	if err := r.kubectl(ctx, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout="+startTimeout.String()); err != nil {
		return err
	}
	r.out.line("deployment %s/%s is available", namespace, name)
	return nil
}

// startConsoleInPods starts the console with the same secrets, certificate and visitor as without a node.
func (r *runner) startConsoleInPods(ctx context.Context) error {
	for _, step := range []func() error{
		r.writeConsoleKeys, r.writeConsoleCertificate,
		func() error { return r.mountAll(ctx, "keyward-console-keys", r.local("console", "keys")) },
		func() error {
			return r.mountAll(ctx, "keyward-console-tls", r.local("console", "tls.crt"), r.local("console", "tls.key"))
		},
		func() error { return r.createVisitor(ctx) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("prepare the console: %w", err)
		}
	}
	if err := r.apply(ctx, "config/node/console"); err != nil {
		return err
	}
	if err := r.awaitWorkload(ctx, systemNamespace, "keyward-console"); err != nil {
		return err
	}
	if err := r.out.await(ctx, "the console", startTimeout, listens(localAddress(consolePort))); err != nil {
		return err
	}
	r.out.line("the console is up at %s", consoleURL())
	return nil
}

// mountAll makes a Secret of files, or of all files of a directory, for Pods to mount. One of an earlier run gets what is new.
func (r *runner) mountAll(ctx context.Context, name string, paths ...string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name}}
	content := map[string][]byte{}
	for _, path := range paths {
		files := []string{path}
		if found, err := filepath.Glob(filepath.Join(path, "*")); err == nil && len(found) > 0 {
			files = found
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			content[filepath.Base(file)] = text
		}
	}
	_, err := controllerutil.CreateOrUpdate(ctx, r.objects, secret, func() error { secret.Data = content; return nil })
	return err
}

// checkNode looks for what is needed for a node, beside what is always needed.
func checkNode(ctx context.Context, root string) error {
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "devcluster"), "check-node").CombinedOutput(); err != nil {
		return fmt.Errorf("%s", out)
	}
	for _, name := range []string{"node/devcluster-node", "static/manager", "static/validator", "static/contentserver", "static/console"} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			return fmt.Errorf("bin/%s is missing: use make run NODE=1, which builds it", name)
		}
	}
	return nil
}
