package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Programs are those of the machine that a node needs, beside the plug-ins in PluginDir.
var Programs = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "nft", "iptables", "conntrack", "mount"}

// PluginDirs are where network plug-ins are looked for: Debian's directory, and that of everybody else.
var PluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin"}

// Check returns what is missing on this machine for a node.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: it makes namespaces, mounts and cgroups")
	}
	var missing []string
	for _, name := range Programs {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if PluginDir() == "" {
		missing = append(missing, "network plug-ins (ptp, host-local, loopback) in "+strings.Join(PluginDirs, " or "))
	}
	if len(missing) > 0 {
		return fmt.Errorf("a node needs what this machine does not have: %s; as root on Debian hack/install-node.sh installs it",
			strings.Join(missing, ", "))
	}
	if _, err := hierarchies(); err != nil {
		return err
	}
	//nolint:noctx // it takes no time
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := probe.Run(); err != nil {
		return fmt.Errorf("a node needs namespaces, which cannot be made here: %w", err)
	}
	return nil
}

// PluginDir is where the network plug-ins are, or "" if there are none.
func PluginDir() string {
	for _, dir := range PluginDirs {
		complete := true
		for _, name := range []string{"ptp", "host-local", "loopback", "portmap"} {
			if _, err := os.Stat(dir + "/" + name); err != nil {
				complete = false
			}
		}
		if complete {
			return dir
		}
	}
	return ""
}
