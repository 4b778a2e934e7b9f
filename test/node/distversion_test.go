package node

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testVersions: programs, images, what runs in Pods, its metrics, the chart and the release of Helm are all of one version.
func (d *dist) testVersions(t *testing.T, c *cluster) {
	for _, program := range programs {
		if out := d.mustRun(t, c, filepath.Join(d.bin, program), "--version"); !strings.Contains(out, " "+d.version+" (revision ") {
			t.Errorf("%s says that it is %s", program, out)
		}
	}
	ids := map[string]bool{}
	for _, archive := range d.archives(t) {
		id, version := d.image(t, filepath.Base(archive))
		if ids[id] = true; version != d.version {
			t.Errorf("%s says that it is of %s", archive, version)
		}
	}
	var releases []struct {
		Chart      string
		AppVersion string `json:"app_version"`
	}
	if err := json.Unmarshal([]byte(d.mustRun(t, c, bin("helm"), "list", "--namespace", systemNamespace, "--output", "json")), &releases); err != nil {
		t.Fatal(err)
	}
	if len(releases) != 1 || releases[0].Chart+".tgz" != d.chart() || releases[0].AppVersion != d.version {
		t.Errorf("Helm's releases are %+v", releases)
	}
	build := regexp.MustCompile(`keyward_build_info\{.*version="([^"]*)"\}`)
	for _, running := range []struct {
		namespace string
		labels    client.MatchingLabels
		container string
		program   string
		metrics   string
	}{
		{systemNamespace, managerLabels, "manager", "keyward-manager", "9445"},
		{systemNamespace, validatorLabels, "validator", "keyward-validator", "8083"},
		{bakeryNamespace, client.MatchingLabels{"app": "content"}, "keyward", "keyward-validator", "28083"},
	} {
		pods, err := c.pods(t.Context(), running.namespace, running.labels)
		if err != nil || len(pods) == 0 {
			t.Fatalf("%v: %d Pods: %v", running.labels, len(pods), err)
		}
		for _, pod := range pods {
			for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				if container.Name == running.container && !strings.HasSuffix(container.Image, ":"+d.version) {
					t.Errorf("%s has %s", pod.Name, container.Image)
				}
			}
			for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
				if status.Name == running.container && !ids[digest.FindString(status.ImageID)] {
					t.Errorf("%s runs %s, which is not in the release", pod.Name, status.ImageID)
				}
			}
			out := c.mustKubectl(t, "-n", pod.Namespace, "exec", pod.Name, "-c", running.container, "--", "/"+running.program, "--version")
			if !strings.Contains(out, " "+d.version+" (revision ") {
				t.Errorf("in %s is %s", pod.Name, out)
			}
			if version := build.FindStringSubmatch(d.metrics(t, c, pod, running.metrics)); len(version) != 2 || version[1] != d.version {
				t.Errorf("the metric of %s is %q", pod.Name, version)
			}
		}
	}
	for _, name := range []string{"install.yaml", "krew/keyward.yaml", "RELEASE_NOTES.md"} {
		if !strings.Contains(string(d.read(t, name)), d.version) {
			t.Errorf("%s does not name the version", name)
		}
	}
}

var digest = regexp.MustCompile("[0-9a-f]{64}")

// image returns the id of an image and the version in its labels.
func (d *dist) image(t *testing.T, archive string) (id, version string) {
	t.Helper()
	files := map[string][]byte{}
	d.entries(t, filepath.Join("images", archive), func(header *tar.Header, content io.Reader) {
		const largest = 1 << 20 // layers are larger
		if header.Size > largest {
			return
		}
		data, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = data
	})
	var manifest []struct{ Config string }
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("%s: %v %+v", archive, err, manifest)
	}
	var config struct {
		Config struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatalf("%s: %v", archive, err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(files[manifest[0].Config])), config.Config.Labels["org.opencontainers.image.version"]
}

func (d *dist) metrics(t *testing.T, c *cluster, pod corev1.Pod, port string) string {
	t.Helper()
	text, err := c.core.CoreV1().RESTClient().Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name + ":" + port).
		SubResource("proxy").Suffix("metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// testPlugin uses kubectl's plugin: out of its archive, and as krew installs it.
func (d *dist) testPlugin(t *testing.T, c *cluster) {
	if out := d.mustRun(t, c, "kubectl", "keyward", "-n", bakeryNamespace, "status", "website"); !strings.Contains(out, "ApiKey bakery/website: Active") {
		t.Errorf("status says %s", out)
	}
	d.mustRun(t, c, "kubectl", "krew", "install", "--manifest", "krew/keyward.yaml", "--archive", d.archive("kubectl-keyward"))
	installed := filepath.Join(c.dir, "krew", "bin", "kubectl-keyward")
	if out := d.mustRun(t, c, installed, "--version"); !strings.Contains(out, d.version) {
		t.Errorf("krew has installed %s", out)
	}
}

// testInstall replaces the release of Helm by install.yaml, while requests are sent: keys stay, and sidecars go on without a manager.
func (d *dist) testInstall(t *testing.T, c *cluster) {
	c.loads = []load{{c, bakeryNamespace, "http://content.bakery.svc.cluster.local/api/scenes/mkt-hero", "website"}}
	c.loads[0].start(t)
	c.underLoad(t, "Helm uninstalls, and install.yaml is applied", func() {
		d.mustRun(t, c, bin("helm"), "uninstall", "keyward", "--namespace", systemNamespace, "--wait")
		d.mustRun(t, c, "kubectl", "apply", "--server-side", "-f", "install.yaml")
		for _, deployment := range []string{"keyward-manager", "keyward-validator"} {
			c.rolledOut(t, systemNamespace, deployment)
		}
		c.apply(t, `
apiVersion: keyward.dev/v1alpha1
kind: ApiKey
metadata: {name: shop, namespace: bakery}
spec: {groupRef: {name: bakery}, projects: [default]}
`)
		// There is a new authority. A kubelet writes it into Pods a minute later, or when a Pod changes.
		c.mustKubectl(t, "-n", bakeryNamespace, "annotate", "pods", "--selector=app=content", "bakery.example/look=again")
		c.enforced(t, bakeryNamespace, "shop")
	})
}
