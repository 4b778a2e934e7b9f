// Package processes runs programs beside each other, each with its own log. It reports a program that ends unexpectedly, and
// stops all programs in the reverse order of their start.
package processes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Group is a set of running programs.
//
// On Linux they are killed when the thread that starts them ends, so the caller locks its goroutine to a thread that does
// not end.
type Group struct {
	logs    string
	failed  func(error)
	running []*process
}

// Program is what to run.
type Program struct {
	// Name is the name in messages and of the log.
	Name string
	// Command is the path and the arguments.
	Command []string
	// Output, if set, receives what the log receives.
	Output io.Writer
	// Grace is how long it may take to end after a signal.
	Grace time.Duration
}

type process struct {
	Program
	cmd      *exec.Cmd
	stopping chan struct{}
	done     chan struct{}
}

// NewGroup returns an empty Group whose logs are in a directory. If a program ends without having been stopped, failed is
// called, from any goroutine.
func NewGroup(logs string, failed func(error)) *Group {
	return &Group{logs: logs, failed: failed}
}

// Start starts a program.
func (g *Group) Start(program Program) error {
	path := filepath.Join(g.logs, program.Name+".log")
	log, err := OpenLog(path)
	if err != nil {
		return err
	}
	//nolint:noctx // a context would kill at once and in no order
	cmd := exec.Command(program.Command[0], program.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if program.Output != nil {
		cmd.Stdout = io.MultiWriter(log, program.Output)
	}
	cmd.SysProcAttr = Attributes()
	if err := cmd.Start(); err != nil {
		_ = log.Close() // nothing was written
		return fmt.Errorf("start %s: %w", program.Name, err)
	}
	child := &process{Program: program, cmd: cmd, stopping: make(chan struct{}), done: make(chan struct{})}
	g.running = append(g.running, child)
	go func() {
		_ = cmd.Wait() // the state says it all
		_ = log.Close()
		close(child.done)
		select {
		case <-child.stopping:
		default:
			g.failed(fmt.Errorf("%s ended unexpectedly: %s; the end of %s:\n%s", program.Name, cmd.ProcessState, path, Tail(path)))
		}
	}()
	return nil
}

// Stop ends the programs, last started first, so that each ends before what it depends on.
func (g *Group) Stop(stopping func(name string)) {
	for i := len(g.running) - 1; i >= 0; i-- {
		child := g.running[i]
		close(child.stopping)
		stopping(child.Name)
		_ = child.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has already ended
		select {
		case <-child.done:
		case <-time.After(child.Grace):
			_ = child.cmd.Process.Kill()
			<-child.done
		}
	}
	g.running = nil
}

// OpenLog opens a new log. The log of the last run is kept beside it, with the suffix .1.
func OpenLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("keep the last log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	return log, nil
}

// Tail returns the last lines of a log, indented, for an error message.
func Tail(path string) string {
	const lines = 10
	data, err := os.ReadFile(path)
	if err != nil {
		return "  " + err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return "  " + string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n  ")))
}
