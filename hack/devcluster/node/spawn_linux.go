package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// Machine is a program in namespaces of its own.
type Machine struct {
	cmd *exec.Cmd
	// alive is open as long as this process lives; the janitor reads the other end.
	alive   *os.File
	janitor *exec.Cmd
}

// Program says what to run in the namespaces.
type Program struct {
	// Command is the program, which calls Init, with its arguments.
	Command []string
	// Janitor is the command that calls Clean, to remove Cgroup.
	Janitor []string
	// Cgroup is below which all containers are.
	Cgroup string
	Stdout io.Writer
	// Files are inherited as descriptors 3, 4 and so on: sockets among them stay those of the host's network.
	Files []*os.File
}

// Spawn starts a program in new namespaces. The kernel kills it, and with it everything in the namespaces, when the calling
// thread ends: the caller locks its goroutine to a thread that does not end.
func Spawn(program Program) (*Machine, error) {
	if err := makeCgroup(program.Cgroup); err != nil {
		return nil, err
	}
	machine := new(Machine)
	if err := machine.startJanitor(program.Janitor); err != nil {
		removeCgroup(program.Cgroup)
		return nil, err
	}
	//nolint:noctx // it is stopped by Stop, which lets it end what runs in it
	machine.cmd = exec.Command(program.Command[0], program.Command[1:]...)
	machine.cmd.Stdout, machine.cmd.Stderr = program.Stdout, os.Stderr
	machine.cmd.ExtraFiles = program.Files
	machine.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: namespaces}
	if err := machine.cmd.Start(); err != nil {
		machine.sweep()
		if errors.Is(err, syscall.EPERM) {
			return nil, fmt.Errorf("make namespaces: %w: this needs root and a kernel or container that permits it", err)
		}
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	return machine, nil
}

// startJanitor starts the process that cleans up after this one, even if this one is killed.
func (m *Machine) startJanitor(command []string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = read.Close() }() // the janitor has its own descriptor
	//nolint:noctx // it ends when this process ends
	m.janitor = exec.Command(command[0], command[1:]...)
	m.janitor.Stdin, m.janitor.Stderr = read, os.Stderr
	m.janitor.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C reaches it
	if err := m.janitor.Start(); err != nil {
		_ = write.Close()
		return fmt.Errorf("start the janitor: %w", err)
	}
	m.alive = write
	return nil
}

// sweep lets the janitor clean up, and waits for it.
func (m *Machine) sweep() {
	_ = m.alive.Close()
	_ = m.janitor.Wait() // it has said what it could not remove
}

// Pid is the process in the namespaces, as the host sees it.
func (m *Machine) Pid() int { return m.cmd.Process.Pid }

// Wait waits until everything in the namespaces has ended and is cleaned up.
func (m *Machine) Wait() error {
	err := m.cmd.Wait()
	m.sweep()
	return err
}

// Stop asks the program to end and kills it, with all others, if it does not in time. Wait returns then.
func (m *Machine) Stop(grace time.Duration) {
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has already ended
	time.AfterFunc(grace, func() { _ = m.cmd.Process.Kill() })
}
