// Package process runs the programs that are measured, and reads what they cost from the kernel's counters (Linux).
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// patience is how long a program may take until it is ready.
const patience = 5 * time.Minute

// Process is a running program.
type Process struct {
	cmd   *exec.Cmd
	lines chan string
}

// Start runs a program, whose lines on stdout and stderr can be read.
func Start(command string, arguments ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(context.Background(), command, arguments...), lines: make(chan string, 1024)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default: // nobody reads it
			}
		}
	}()
	return p, nil
}

// Line returns the next line that wanted accepts.
func (p *Process) Line(wanted func(string) bool) (string, error) {
	last, timeout := "", time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			switch {
			case !ok:
				return "", fmt.Errorf("%s ended: %s", p.cmd.Path, last)
			case wanted(line):
				return line, nil
			}
			last = line
		case <-timeout:
			return "", fmt.Errorf("%s is not ready: %s", p.cmd.Path, last)
		}
	}
}

// Kill ends the program at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
}

// Interrupt ends the program properly.
func (p *Process) Interrupt() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// CPU returns the processor time that the program's threads have used so far, in user and kernel mode, from the
// scheduler's own counters in nanoseconds.
func (p *Process) CPU() (time.Duration, error) {
	counters, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(counters) == 0 {
		return 0, fmt.Errorf("the kernel has no counters of process %d: %w", p.cmd.Process.Pid, err)
	}
	var sum time.Duration
	for _, path := range counters {
		counter, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Go ends few threads, and only idle ones
		}
		if err != nil {
			return 0, err
		}
		ran, _, _ := strings.Cut(string(counter), " ")
		nanoseconds, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(nanoseconds)
	}
	return sum, nil
}

// Memory returns the resident memory of the program now and at its most, in bytes.
func (p *Process) Memory() (now, most int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "VmRSS:" && fields[0] != "VmHWM:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		if fields[0] == "VmRSS:" {
			now = kib << 10
		} else {
			most = kib << 10
		}
	}
	return now, most, nil
}
