package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestConfigIsAccepted applies what is shipped, and all samples, to a real API server, twice: the second time
// has to find nothing that it may not change. Webhooks are not running here; make run has them.
func TestConfigIsAccepted(t *testing.T) {
	environment := &envtest.Environment{}
	if _, err := environment.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = environment.Stop() }) // the test is over
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) {
		t.Helper()
		args = append([]string{"--kubeconfig", kubeconfig, "--cache-dir", t.TempDir()}, args...)
		if out, err := exec.CommandContext(t.Context(), environment.ControlPlane.KubectlPath, args...).CombinedOutput(); err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args[4:], err, out)
		}
	}
	for range 2 {
		for _, dir := range []string{"config/local", "config/default", "config/console"} {
			kubectl("apply", "--server-side", "--force-conflicts", "-k", filepath.Join("../..", dir))
		}
		kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", "../../config/crd/bases")
		kubectl("delete", "mutatingwebhookconfigurations/keyward-mutating", "validatingwebhookconfigurations/keyward-validating")
		for _, dir := range []string{"config/samples", "config/samples/patterns", "config/samples/life", "config/samples/sidecar"} {
			kubectl("apply", "--server-side", "-k", filepath.Join("../..", dir))
		}
	}
}
