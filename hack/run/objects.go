package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

const (
	sampleNamespace = "acme"
	sampleKey       = "acme-web"

	// atRest is how long a key has to be unusable until that is regarded as intended.
	atRest = 10 * time.Second
)

// kubectl runs the cluster's own kubectl as its admin.
func (r *runner) kubectl(ctx context.Context, args ...string) error {
	args = append([]string{"--kubeconfig", r.kubeconfig(), "--cache-dir", r.local("kubectl")}, args...)
	cmd := exec.CommandContext(ctx, r.bin("envtest", "kubectl"), args...)
	cmd.SysProcAttr = processes.Attributes()
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args[4:], " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return nil
}

// apply applies a kustomization. Fields that it does not name stay as they are.
func (r *runner) apply(ctx context.Context, dir string) error {
	return r.kubectl(ctx, "apply", "--server-side", "--force-conflicts", "--field-manager=keyward-run", "-k", filepath.Join(r.root, dir))
}

// applyConfig installs Keyward.
func (r *runner) applyConfig(ctx context.Context, dir string) error {
	if err := r.apply(ctx, dir); err != nil {
		return err
	}
	if err := r.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "-f",
		filepath.Join(r.root, "config/crd/bases")); err != nil {
		return err
	}
	r.out.line("%s is applied", dir)
	return nil
}

// applySamples retries until the webhooks are reachable, that is until the API server has their certificate.
func (r *runner) applySamples(ctx context.Context) error {
	var refused error
	err := r.out.await(ctx, "the webhooks", startTimeout, func(ctx context.Context) error {
		err := r.apply(ctx, "config/samples")
		if err != nil && !strings.Contains(err.Error(), "failed calling webhook") {
			refused = err
			return nil // waiting does not help
		}
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	r.out.line("config/samples is applied")
	return nil
}

// awaitKey waits until the validator accepts the sample key. If the key was suspended or revoked in an earlier run, it waits
// until that is enforced.
func (r *runner) awaitKey(ctx context.Context) error {
	var key v1alpha1.ApiKey
	var resting time.Time
	what := fmt.Sprintf("ApiKey %s/%s", sampleNamespace, sampleKey)
	err := r.out.await(ctx, what, startTimeout, func(ctx context.Context) error {
		if err := r.objects.Get(ctx, client.ObjectKey{Namespace: sampleNamespace, Name: sampleKey}, &key); err != nil {
			return err
		}
		for _, name := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionEnforced} {
			condition := meta.FindStatusCondition(key.Status.Conditions, name)
			switch {
			case condition == nil || condition.ObservedGeneration != key.Generation:
				resting = time.Time{}
				return fmt.Errorf("%s is not known yet", name)
			case string(condition.Status) == "True":
				continue
			case meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReconciling):
				resting = time.Time{}
			case resting.IsZero():
				resting = time.Now()
			case name == v1alpha1.ConditionAccepted && time.Since(resting) > atRest:
				r.note = fmt.Sprintf("%s is %s, so its requests are refused: %s. To start afresh: make clean run.", what,
					key.Status.State, condition.Message)
				return nil
			}
			return fmt.Errorf("%s is %s (%s): %s", name, condition.Status, condition.Reason, condition.Message)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.out.line("%s is %s, and that is enforced", what, key.Status.State)
	return nil
}
