package node

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// Name is the node's name.
	Name = "devcluster"
	// IP is the node's address.
	IP = "10.77.0.1"
	// ServiceNetwork has the addresses of Services.
	ServiceNetwork = "10.96.0.0/16"
	// PodNetwork has the addresses of Pods.
	PodNetwork = "10.88.0.0/16"
	// DNS is the address of the cluster's DNS.
	DNS = "10.96.0.10"
	// Dir is where the data directory is inside. The path is short because sockets are below it.
	Dir = "/run/devcluster"
)

// tunables are what the kubelet wants of the kernel. They belong to the whole machine, so it is shown these values instead of
// being allowed to write them.
var tunables = map[string]string{
	"vm/overcommit_memory": "1",
	"vm/panic_on_oom":      "0",
	"kernel/panic":         "10",
	"kernel/panic_on_oops": "1",
}

// SetUp makes the mounts and the network of the namespaces that this process is in. Then the directory data is at Dir.
func SetUp(data string) error {
	if err := setUpMounts(data); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	return setUpNetwork()
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

func setUpMounts(data string) error {
	// First cut off from the host, then shared again among Pods that ask for it.
	for _, flags := range []uintptr{syscall.MS_PRIVATE, syscall.MS_SHARED} {
		if err := mount("", "/", "", syscall.MS_REC|flags, ""); err != nil {
			return err
		}
	}
	if err := mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	// The data directory may be below /run itself.
	held, err := os.Open(data)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	defer func() { _ = held.Close() }()
	if err := mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{Dir, "/run/lock", "/run/netns"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := mount(fmt.Sprintf("/proc/self/fd/%d", held.Fd()), Dir, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return err
	}
	// Containers and plug-ins write to fixed paths below these. What they write is kept in memory.
	for _, dir := range []string{"/etc", "/var"} {
		if err := cover(dir); err != nil {
			return err
		}
	}
	if err := writeNames(); err != nil {
		return err
	}
	return fakeTunables()
}

// cover makes a directory writable without changing it.
func cover(dir string) error {
	layers := filepath.Join("/run/cover", dir)
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	for _, layer := range []string{upper, work} {
		if err := os.MkdirAll(layer, 0o755); err != nil {
			return err
		}
	}
	return mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work)
}

// writeNames gives the node its own files of names: there is no outer DNS.
func writeNames() error {
	for path, content := range map[string]string{
		"/etc/resolv.conf": "nameserver 127.0.0.1\n",
		"/etc/hosts":       "127.0.0.1 localhost\n" + IP + " " + Name + "\n",
	} {
		// It may be a link to a file that is not here.
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func fakeTunables() error {
	for name, value := range tunables {
		fake := filepath.Join("/run/tunables", name)
		if err := os.MkdirAll(filepath.Dir(fake), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(fake, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := mount(fake, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// setUpNetwork gives the node a device with its address. The device leads to nothing, because there is no other machine to talk to.
// But addresses of Services need a route, although kube-proxy rewrites or rejects them, and rejections do not work on the loopback device.
// There is no default route, so that a connection to anywhere else fails at once.
func setUpNetwork() error {
	for _, line := range []string{
		"link set lo up",
		"link add node0 type veth peer name node1",
		"link set node1 up",
		"link set node0 up",
		"address add " + IP + "/32 dev node0",
		"route add " + ServiceNetwork + " dev node0 src " + IP,
	} {
		//nolint:noctx // it takes no time
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	const forward = "/proc/sys/net/ipv4/ip_forward"
	if err := os.WriteFile(forward, []byte("1"), 0); err != nil {
		return fmt.Errorf("let Pods talk to each other: %w", err)
	}
	return nil
}

// Snapshotter is the way in which containerd can store images in a directory: overlays if the file system allows it.
func Snapshotter(dir string) (string, error) {
	probe, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(probe) }()
	parts := map[string]string{}
	for _, part := range []string{"lower", "upper", "work", "merged"} {
		parts[part] = filepath.Join(probe, part)
		if err := os.Mkdir(parts[part], fs.ModePerm); err != nil {
			return "", err
		}
	}
	err = mount("overlay", parts["merged"], "overlay", 0,
		"lowerdir="+parts["lower"]+",upperdir="+parts["upper"]+",workdir="+parts["work"])
	if err != nil {
		return "native", nil // the answer is that overlays do not work
	}
	return "overlayfs", syscall.Unmount(parts["merged"], 0)
}
