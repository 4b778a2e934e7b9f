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

	"github.com/keyward-dev/keyward/hack/run/processes"
)

// With --node, everything runs in Pods on a node that devcluster starts, and its ports on this machine lead to Services.

const validatorService = "keyward-validator." + systemNamespace + ".svc"

// nodeImages are the images that the node gets, and the static programs that they consist of.
var nodeImages = [][2]string{
	{"keyward/manager:latest", "manager"},
	{"keyward/validator:latest", "validator"},
	{"keyward/content:latest", "contentserver"},
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
	return flags
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
		err := r.kubectl(ctx, "-n", workload[0], "rollout", "status", "deployment/"+workload[1], "--timeout="+startTimeout.String())
		if err != nil {
			return err
		}
		r.out.line("deployment %s/%s is available", workload[0], workload[1])
	}
	return nil
}

// checkNode looks for what is needed for a node, beside what is always needed.
func checkNode(ctx context.Context, root string) error {
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "devcluster"), "check-node").CombinedOutput(); err != nil {
		return fmt.Errorf("%s", out)
	}
	for _, name := range []string{"node/devcluster-node", "static/manager", "static/validator", "static/contentserver"} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			return fmt.Errorf("bin/%s is missing: use make run NODE=1, which builds it", name)
		}
	}
	return nil
}
