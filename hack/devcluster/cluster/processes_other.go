//go:build !linux

package cluster

import "syscall"

// childAttributes puts a component into its own process group, so that Ctrl-C in the terminal reaches
// only devcluster, which then stops the components in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
