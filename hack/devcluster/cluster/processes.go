package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	pollInterval = 50 * time.Millisecond
	// stopTimeout is per component. The API server drains its requests before it ends.
	stopTimeout = 20 * time.Second
	// failTimeout applies after a failure: an API server without its etcd never finishes.
	failTimeout = 2 * time.Second
)

// processes are the running components in the order of their start.
type processes struct {
	executable string
	logs       string
	running    []*process
	// exited has room for every component, so that reporting never blocks.
	exited chan exit
}

type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// exit is the unexpected end of a component.
type exit struct {
	name  string
	log   string
	state string
}

func (e exit) err() error {
	return fmt.Errorf("%s ended: %s; the end of %s:\n%s", e.name, e.state, e.log, tail(e.log))
}

// start starts a component of this program.
func (p *processes) start(name string, args []string) error {
	return p.startCommand(name, append([]string{p.executable, name}, args...))
}

// startCommand starts a program with its output going to its log file; the log of the last run is kept beside it.
func (p *processes) startCommand(name string, command []string) error {
	if err := os.MkdirAll(p.logs, 0o700); err != nil {
		return fmt.Errorf("create the log directory: %w", err)
	}
	path := filepath.Join(p.logs, name+".log")
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keep the last log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor

	//nolint:noctx // a context would kill at once and in no order
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	child := &process{name: name, cmd: cmd, done: make(chan struct{})}
	p.running = append(p.running, child)
	go func() {
		_ = cmd.Wait() // the state says it all
		close(child.done)
		p.exited <- exit{name: name, log: path, state: cmd.ProcessState.String()}
	}()
	return nil
}

// await polls check until it succeeds, a component ends or ctx is done.
func (p *processes) await(ctx context.Context, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (logs: %s)", what, err, p.logs)
		case exit := <-p.exited:
			return exit.err()
		case <-ticker.C:
		}
	}
}

// stop ends the components, last started first, so that each ends before what it depends on.
func (p *processes) stop(timeout time.Duration) { p.stopAfter("", timeout) }

// stopAfter ends those that were started after a component.
func (p *processes) stopAfter(name string, timeout time.Duration) {
	for len(p.running) > 0 {
		child := p.running[len(p.running)-1]
		if child.name == name {
			return
		}
		p.running = p.running[:len(p.running)-1]
		_ = child.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has already ended
		select {
		case <-child.done:
		case <-time.After(timeout):
			_ = child.cmd.Process.Kill()
			<-child.done
		}
	}
}
