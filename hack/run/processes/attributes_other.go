//go:build !linux

package processes

import "syscall"

// Attributes put a child into its own process group, so that Ctrl-C in the terminal reaches only the runner,
// which then ends the children in order.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
