package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/hack/run/processes"
)

// process is a running program with a log of its own.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

var started atomic.Int64

// startProcess runs a program with additional variables in its environment.
func startProcess(logs, name string, environment []string, command ...string) (*process, error) {
	path := filepath.Join(logs, fmt.Sprintf("%03d-%s.log", started.Add(1), name))
	log, err := processes.OpenLog(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own descriptor

	// Without a context, which would kill it at once: tests decide how a process ends.
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = processes.Attributes()
	if err := starter.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, log: path, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state has the outcome
		close(p.done)
	}()
	return p, nil
}

// starter starts all programs on one thread that never ends. On Linux they are killed when the thread that started them
// ends, so that none is left behind if the tests crash.
var starter = newThread()

type thread struct{ jobs chan func() }

func newThread() *thread {
	t := &thread{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range t.jobs {
			job()
		}
	}()
	return t
}

func (t *thread) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	t.jobs <- func() { result <- cmd.Start() }
	return <-result
}

func (p *process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends a signal; a process that has ended needs none.
func (p *process) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil && !p.hasEnded() {
		t.Fatalf("%s to %s: %v", signal, p.name, err)
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.done
}

// stop ends the process as a kubelet does.
func (p *process) stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-p.done:
	case <-time.After(grace):
		p.kill()
	}
}

// killedItself reports whether the process ended by SIGKILL.
func (p *process) killedItself() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// complaint returns an error with the end of the log.
func (p *process) complaint() error {
	return fmt.Errorf("%s has ended (%s); its last lines:\n%s", p.name, p.cmd.ProcessState, processes.Tail(p.log))
}

// ending has the actions that are due before the cluster is stopped.
type ending struct {
	mu   sync.Mutex
	undo []func()
}

func (e *ending) later(undo func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.undo = append(e.undo, undo)
}

func (e *ending) now() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.undo) - 1; i >= 0; i-- {
		e.undo[i]()
	}
	e.undo = nil
}

// memory returns the resident memory of the process, in bytes.
func (p *process) memory(t testing.TB) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	t.Fatalf("%s has no resident memory", p.name)
	return 0
}
