// Package killed is for tests in which processes are killed, as kill -9 does, at points that they reach: the test binary runs itself as the
// process.
package killed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/controllers/sinks"
)

// The environment of a process that is killed.
const (
	envTask  = "KEYWARD_TEST_KILLED_TASK"
	envPoint = "KEYWARD_TEST_KILLED_POINT"
	envHit   = "KEYWARD_TEST_KILLED_HIT"
)

// patience is how long a process may take.
const patience = time.Minute

// Main is for TestMain. In a process that Run has started it does the task; otherwise it runs the tests. It returns the exit code.
func Main[Task any](m *testing.M, do func(Task, *Point) error) int {
	text, is := os.LookupEnv(envTask)
	if !is {
		return m.Run()
	}
	var task Task
	err := json.Unmarshal([]byte(text), &task)
	point := &Point{name: os.Getenv(envPoint)}
	if err == nil {
		point.hit, err = strconv.Atoi(os.Getenv(envHit))
	}
	if err == nil {
		err = do(task, point)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Run has a process do a task until it is done, and reports whether it was killed before, where it had reached a point for the given time.
// A process that fails, or takes a minute, fails the test.
func Run(t *testing.T, task any, point string, hit int) (killed bool) {
	t.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), envTask+"="+string(text), envPoint+"="+point, envHit+"="+strconv.Itoa(hit))
	output, err := command.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return true
		}
	}
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return false
}

// Point is where this process is killed.
type Point struct {
	name string

	mu  sync.Mutex
	hit int
}

// Here kills this process if the point has this name, and is reached for the given time.
func (p *Point) Here(name string) {
	if name != p.name {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hit--; p.hit == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Sender has the points before-send and after-send, which is after a request that has succeeded.
type Sender struct {
	sinks.Sender

	Point *Point
}

// Send implements sinks.Sender.
func (s *Sender) Send(ctx context.Context, records []sinks.Record) (int, error) {
	s.Point.Here("before-send")
	rejected, err := s.Sender.Send(ctx, records)
	if err == nil {
		s.Point.Here("after-send")
	}
	return rejected, err
}

// Replace writes a file, of which a process that is killed leaves either all or nothing.
func Replace(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Read reads a file that Replace has written, and reports whether there is one.
func Read(path string, into any) (exists bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	return true, nil
}
