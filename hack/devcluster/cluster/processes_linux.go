package cluster

import "syscall"

// childAttributes puts a component into its own process group, so that Ctrl-C in the terminal reaches
// only devcluster, which then stops the components in order; and makes the kernel end it when devcluster
// is killed outright.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
