package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/keyward-dev/keyward/hack/devcluster/cluster"
)

const dnsImage = "localhost/devcluster/coredns:dev"

// TestNode runs a Pod on a node and reaches it from the host by its name, stops the cluster, starts it again, and kills it: neither
// end leaves anything behind.
func TestNode(t *testing.T) {
	if os.Getenv("KEYWARD_NODE") == "" {
		t.Skip("this test starts a node: make test-node")
	}
	if out, err := exec.CommandContext(t.Context(), binary(t), "check-node").CombinedOutput(); err != nil {
		t.Skip(strings.TrimSpace(string(out)))
	}
	dir := t.TempDir()
	before := hostState(t)
	port, err := cluster.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	forwarded := fmt.Sprint(port)
	first := up(t, dir, "--node", "--forward", forwarded+"=whoami.default.svc:80")
	traces := tracesOf(t, dir)
	if traces.processes(t) < 5 || len(traces.cgroups(t)) == 0 {
		t.Fatal("the test finds no traces of a running node, so it would find none of a dead one")
	}

	admin := first.client(t)
	// A DNS server that nobody asks, for its health port.
	create(t, admin.CoreV1().ConfigMaps("default").Create, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "whoami"}, Data: map[string]string{"Corefile": ".:5300 {\n    health\n}\n"},
	})
	create(t, admin.CoreV1().Pods("default").Create, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "whoami", Labels: map[string]string{"app": "whoami"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "server", Image: dnsImage, ImagePullPolicy: corev1.PullNever, Args: []string{"-conf", "/etc/coredns/Corefile"},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns"}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "whoami"}}}}},
		},
	})
	create(t, admin.CoreV1().Services("default").Create, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "whoami"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "whoami"},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	})
	reachable(t, "http://127.0.0.1:"+forwarded+"/health")
	first.stop(t)
	traces.gone(t)

	second := up(t, dir, "--node", "--forward", forwarded+"=whoami.default.svc:80")
	traces = tracesOf(t, dir)
	reachable(t, "http://127.0.0.1:"+forwarded+"/health")
	if err := second.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = second.cmd.Wait() // killed
	traces.gone(t)
	if after := hostState(t); after != before {
		t.Errorf("the host has changed from\n%s\nto\n%s", before, after)
	}
}

// traces are how a node can be recognized from the host.
type traces struct {
	namespaces []string
	dir        string
	cgroup     string
}

func tracesOf(t *testing.T, dir string) *traces {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(dir, "data", "node.pid"))
	if err != nil {
		t.Fatal(err)
	}
	found := &traces{dir: dir}
	for _, kind := range []string{"mnt", "net", "pid", "uts", "ipc"} {
		name, err := os.Readlink(filepath.Join("/proc", string(pid), "ns", kind))
		if err != nil {
			t.Fatal(err)
		}
		found.namespaces = append(found.namespaces, name)
	}
	kubelet, err := os.ReadFile(filepath.Join(dir, "data", "kubelet.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(kubelet), "cgroupRoot: /")
	found.cgroup, _, _ = strings.Cut(rest, "\n")
	return found
}

// processes returns how many processes are in the node's namespaces, or come from its directory.
func (f *traces) processes(t *testing.T) int {
	t.Helper()
	var count int
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range all {
		command, _ := os.ReadFile(filepath.Join(process, "cmdline")) // it may end in the meantime
		found := bytes.Contains(command, []byte(f.dir))
		for _, namespace := range f.namespaces {
			kind, _, _ := strings.Cut(namespace, ":")
			name, _ := os.Readlink(filepath.Join(process, "ns", kind))
			found = found || name == namespace
		}
		if found {
			count++
		}
	}
	return count
}

func (f *traces) cgroups(t *testing.T) []string {
	t.Helper()
	flat, err := filepath.Glob("/sys/fs/cgroup/" + f.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	nested, err := filepath.Glob("/sys/fs/cgroup/*/" + f.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	return append(flat, nested...)
}

// gone waits until nothing is left.
func (f *traces) gone(t *testing.T) {
	t.Helper()
	var processes int
	var cgroups []string
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		processes, cgroups = f.processes(t), f.cgroups(t)
		return processes == 0 && len(cgroups) == 0, nil
	})
	if err != nil {
		t.Errorf("left behind: %d processes, cgroups %q", processes, cgroups)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(f.dir)) {
		t.Errorf("left behind: mounts\n%s", mounts)
	}
}

// hostState is what a node must not change: devices, rules, tunables, and the directories that kubelet and containerd use by default.
func hostState(t *testing.T) string {
	t.Helper()
	var state strings.Builder
	for _, line := range []string{
		"ip -o link", "ip -o addr", "ip route", "nft list ruleset", "hostname",
		"sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops net.ipv4.ip_forward",
		"ls -d /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/containerd /run/netns /run/devcluster /etc/cni",
	} {
		fields := strings.Fields(line)
		out, _ := exec.CommandContext(t.Context(), fields[0], fields[1:]...).Output() // what is not there has no output
		fmt.Fprintf(&state, "# %s\n%s", line, out)
	}
	return state.String()
}

// reachable waits until a URL responds with 200.
func reachable(t *testing.T, url string) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			last = err
			return false, nil
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		last = fmt.Errorf("%s %s %w", response.Status, body, err)
		return response.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", url, last)
	}
}
