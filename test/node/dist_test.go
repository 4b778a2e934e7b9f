package node

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/ports"
)

// bakeryNamespace is that of a new user.
const bakeryNamespace = "bakery"

// TestDist installs a release from its files alone, as somebody does who has nothing else: by Helm, until a request is answered
// through a sidecar, and then by install.yaml.
func TestDist(t *testing.T) {
	dir := os.Getenv("KEYWARD_NODE_DIST")
	if dir == "" {
		t.Skip("this test installs what is in dist: make dist-verify")
	}
	d := openDist(t, dir)
	t.Run("checksums", d.testChecksums)
	port := freePort(t)
	// The kubelet's settings are those of any node.
	c := startCluster(t, "--forward", port+"=content."+bakeryNamespace+".svc:80")
	c.load(t, d.archives(t), around)
	t.Run("the first minute", func(t *testing.T) { d.testFirstMinute(t, c, "http://127.0.0.1:"+port+"/api/scenes/mkt-hero") })
	t.Run("versions", func(t *testing.T) { d.testVersions(t, c) })
	t.Run("the plugin", func(t *testing.T) { d.testPlugin(t, c) })
	t.Run("install.yaml", func(t *testing.T) { d.testInstall(t, c) })
}

// dist is a directory with a release.
type dist struct {
	dir     string
	version string
	images  []distImage
	bin     string // where the programs for this machine are unpacked
}

type distImage struct {
	Name      string
	Platforms []struct{ Platform, Archive string }
}

var programs = []string{"keyward-manager", "keyward-validator", "kubectl-keyward"}

// openDist reads what a directory has, and unpacks the programs for this machine.
func openDist(t *testing.T, dir string) *dist {
	t.Helper()
	d := &dist{dir: dir, bin: t.TempDir()}
	var list struct {
		Version string
		Images  []distImage
	}
	if err := json.Unmarshal(d.read(t, "images.json"), &list); err != nil {
		t.Fatal(err)
	}
	d.version, d.images = list.Version, list.Images
	for _, program := range programs {
		d.unpack(t, d.archive(program))
	}
	return d
}

// archive is the archive of a program for this machine.
func (d *dist) archive(program string) string {
	return fmt.Sprintf("%s_%s_linux_%s.tar.gz", program, d.version, runtime.GOARCH)
}

func (d *dist) chart() string { return "keyward-" + strings.TrimPrefix(d.version, "v") + ".tgz" }

func (d *dist) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		t.Fatalf("%v: make dist writes it", err)
	}
	return data
}

// entries calls a function with each file of an archive, which is a tar archive or a compressed one.
func (d *dist) entries(t *testing.T, archive string, each func(header *tar.Header, content io.Reader)) {
	t.Helper()
	file, err := os.Open(filepath.Join(d.dir, archive))
	if err != nil {
		t.Fatalf("%v: make dist writes it", err)
	}
	defer func() { _ = file.Close() }()
	var content io.Reader = file
	if strings.HasSuffix(archive, ".gz") {
		if content, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	for in := tar.NewReader(content); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		each(header, in)
	}
}

// unpack unpacks an archive of a program into the directory of programs.
func (d *dist) unpack(t *testing.T, archive string) {
	t.Helper()
	d.entries(t, archive, func(header *tar.Header, content io.Reader) {
		path := filepath.Join(d.bin, filepath.Base(header.Name))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, header.FileInfo().Mode())
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(file, content)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// archives are the images for this machine.
func (d *dist) archives(t *testing.T) (archives []string) {
	t.Helper()
	for _, image := range d.images {
		for _, platform := range image.Platforms {
			if platform.Platform == "linux/"+runtime.GOARCH {
				archives = append(archives, filepath.Join(d.dir, platform.Archive))
			}
		}
	}
	if len(archives) != len(d.images) || len(archives) == 0 {
		t.Fatalf("of %d images, %d are for this machine", len(d.images), len(archives))
	}
	return archives
}

// run runs a program as somebody does who has only the release, kubectl and Helm, in the directory of the release.
func (d *dist) run(ctx context.Context, c *cluster, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = d.dir
	cmd.Env = []string{
		"KUBECONFIG=" + c.kubeconfig(), "HOME=" + filepath.Join(c.dir, "home"), "KREW_ROOT=" + filepath.Join(c.dir, "krew"),
		"PATH=" + strings.Join([]string{d.bin, bin("envtest"), bin(), "/usr/bin", "/bin"}, ":"),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (d *dist) mustRun(t *testing.T, c *cluster, program string, args ...string) string {
	t.Helper()
	out, err := d.run(t.Context(), c, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// testChecksums: everything that people download has a checksum, and every checksum is right.
func (d *dist) testChecksums(t *testing.T) {
	verify := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	verify.Dir = d.dir
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	sums := string(d.read(t, "SHA256SUMS"))
	names := []string{d.chart(), "install.yaml", "images.json", "krew/keyward.yaml", "RELEASE_NOTES.md"}
	for _, program := range programs {
		names = append(names, d.archive(program))
	}
	for _, archive := range d.archives(t) {
		names = append(names, "images/"+filepath.Base(archive))
	}
	for _, name := range names {
		if !strings.Contains(sums, "  "+name+"\n") {
			t.Errorf("%s has no checksum", name)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// testFirstMinute goes the way of somebody new, from an empty cluster to the first response through a sidecar.
func (d *dist) testFirstMinute(t *testing.T, c *cluster, url string) {
	file := filepath.Join(t.TempDir(), "bakery.yaml")
	if err := os.WriteFile(file, []byte(bakeryYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	steps := []struct {
		command string
		do      func()
	}{
		{"helm install keyward keyward-VERSION.tgz --namespace keyward-system --create-namespace --wait", func() {
			d.mustRun(t, c, bin("helm"), "install", "keyward", d.chart(), "--namespace", systemNamespace, "--create-namespace", "--wait")
		}},
		{"kubectl apply -f bakery.yaml", func() { d.mustRun(t, c, "kubectl", "apply", "-f", file) }},
		{"curl -H \"Authorization: Bearer $(kubectl -n bakery get secret website -o go-template='{{index .data \"api-key\" | base64decode}}')\" …", func() {
			await(t, "the first response", func(ctx context.Context) error { return c.firstResponse(ctx, url) })
		}},
	}
	lines := []string{"| command | seconds until its end |", "|---|---|"}
	for _, step := range steps {
		step.do()
		lines = append(lines, fmt.Sprintf("| `%s` | %.1f |", strings.ReplaceAll(step.command, "|", `\|`), time.Since(began).Seconds()))
	}
	write(t, "make dist-verify UPDATE=1", lines)
}

// firstResponse sends a request with the key, once that is there.
func (c *cluster) firstResponse(ctx context.Context, url string) error {
	var secret corev1.Secret
	if err := c.objects.Get(ctx, client.ObjectKey{Namespace: bakeryNamespace, Name: "website"}, &secret); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(secret.Data[v1alpha1.SecretKeyAPIKey]))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	if !strings.Contains(string(body), "bakery") {
		return fmt.Errorf("the content server was not told the Group: %s", body)
	}
	return nil
}

// bakeryYAML is a content server with a sidecar, in a cluster that has nothing but Keyward.
const bakeryYAML = `
apiVersion: v1
kind: Namespace
metadata:
  name: bakery
  labels: {keyward.dev/injection: enabled, pod-security.kubernetes.io/enforce: restricted}
  annotations: {keyward.dev/injection-roles: automatic}
---
apiVersion: keyward.dev/v1alpha1
kind: Group
metadata:
  name: bakery
  namespace: bakery
  annotations: {keyward.dev/injection-roles: automatic}
---
apiVersion: keyward.dev/v1alpha1
kind: ApiKey
metadata: {name: website, namespace: bakery}
spec: {groupRef: {name: bakery}, projects: [default]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: content, namespace: bakery}
spec:
  selector: {matchLabels: {app: content}}
  template:
    metadata:
      labels: {app: content, keyward.dev/inject: validator}
      annotations: {keyward.dev/group: bakery}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: content
          image: bakery/content:1.0.0
          ports: [{name: http, containerPort: 8080}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: content, namespace: bakery}
spec:
  selector: {app: content}
  ports: [{name: http, port: 80, targetPort: http}]
`
