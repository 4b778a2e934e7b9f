package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/reader"
)

// registry is what the pages use as an example. Images of these names are loaded into the node, so that nothing is pulled.
const registry = "images.acme.example/"

// TestReadHowTo follows the pages to the letter, on a cluster of its own: install with kustomize, create a key, put a sidecar in front
// of content, make a backup, uninstall everything, restore, upgrade, uninstall; install with Helm, upgrade, roll back, uninstall.
func TestReadHowTo(t *testing.T) {
	if reason := reader.Cannot(); reason != "" {
		t.Skip(reason)
	}
	for _, program := range []string{"helm", "kubectl-keyward"} {
		if _, err := os.Stat(bin(program)); err != nil {
			t.Fatalf("%v: make test-node builds it", err)
		}
	}
	if _, err := exec.LookPath("jq"); err != nil {
		t.Fatalf("%v: hack/install-node.sh installs it", err)
	}
	t.Parallel()
	c := startCluster(t)
	c.loadReleases(t, "v0.1.0", "v0.1.1")
	shell := reader.Start(t, reader.Setup{
		Root: root, Patience: 2 * patience, Environment: []string{
			"KUBECONFIG=" + c.kubeconfig(), "PATH=" + bin("envtest") + ":" + bin() + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		},
	})

	begin := time.Now()
	shell.Read("docs/how-to/install.md", "With kustomize", "The first key")
	t.Logf("from an empty cluster to the first verdict: %s", time.Since(begin).Round(100*time.Millisecond))
	key := shell.Must(keyText)
	shell.Must("kubectl apply --server-side -f - <<'END'\n" + contentYAML + "END\nkubectl -n acme rollout status deploy/content")
	shell.Read("docs/how-to/sidecar.md", "Three commands")
	shell.Read("docs/how-to/sidecar.md", "The Role")
	shell.Read("docs/how-to/upgrade.md", "Sidecars")
	shell.Read("docs/how-to/backup.md", "Make a copy")
	shell.Must("kubectl -n acme delete deployment content")
	shell.Read("docs/how-to/uninstall.md", "With everything")
	shell.Must(nothingLeft)

	shell.Read("docs/how-to/backup.md", "Restore")
	if restored := shell.Must(keyText); restored != key {
		t.Errorf("a restore has changed the key:\n%s", shell.Must("kubectl -n acme get events"))
	}
	shell.Read("docs/how-to/upgrade.md", "With kustomize", "After")
	shell.Read("docs/how-to/uninstall.md", "With everything")
	shell.Must(nothingLeft)

	shell.Must("kubectl delete namespace acme") // the samples have it
	shell.Read("docs/how-to/install.md", "With Helm", "The first key")
	key = shell.Must(keyText)
	shell.Read("docs/how-to/upgrade.md", "With Helm", "After")
	shell.Read("docs/how-to/uninstall.md", "The release of Helm, but not the keys")
	shell.Read("docs/how-to/install.md", "With Helm")
	shell.Read("docs/how-to/upgrade.md", "After")
	if kept := shell.Must(keyText); kept != key {
		t.Error("the key has not survived an uninstallation")
	}
	shell.Read("docs/how-to/uninstall.md", "The release of Helm, and everything")
	shell.Must(nothingLeft)
}

// loadReleases loads the images under the names of releases, and the content server.
func (c *cluster) loadReleases(t *testing.T, versions ...string) {
	t.Helper()
	args := []string{"load", "--data-dir", filepath.Join(c.dir, "data"), "keyward/content:latest=" + bin("static", "contentserver")}
	for _, version := range versions {
		for _, program := range []string{"manager", "validator"} {
			args = append(args, registry+"keyward/"+program+":"+version+"="+bin("static", program))
		}
	}
	if out, err := exec.CommandContext(t.Context(), bin("devcluster"), args...).CombinedOutput(); err != nil {
		t.Fatalf("devcluster load: %v: %s", err, out)
	}
}

// keyText prints the key of the samples.
const keyText = `kubectl -n acme get secret acme-web -o go-template='{{index .data "api-key" | base64decode}}'`

// nothingLeft fails if an uninstallation has left something.
const nothingLeft = `set -e
for kind in crd clusterrole clusterrolebinding mutatingwebhookconfiguration validatingwebhookconfiguration namespace; do
  if kubectl get $kind -o name | grep -i keyward; then false; fi
done
if kubectl get secrets,configmaps --all-namespaces -l app.kubernetes.io/managed-by=keyward -o name | grep .; then false; fi
set +e
`

// contentYAML is what docs/how-to/sidecar.md presupposes.
const contentYAML = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: content, namespace: acme}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: content, namespace: acme}
spec:
  selector: {matchLabels: {app: content}}
  template:
    metadata: {labels: {app: content}}
    spec:
      serviceAccountName: content
      containers:
        - name: content
          image: keyward/content:latest
          imagePullPolicy: Never
          ports: [{name: http, containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: content, namespace: acme}
spec:
  selector: {app: content}
  ports: [{name: http, port: 80, targetPort: http}]
`
