// Command run is what make run runs: all of Keyward on a real Kubernetes API, on this machine. It starts the
// cluster, the manager, a validation server and a sample content service, and plays the part of the kubelet
// for the two that would be Pods. Nothing is faked for them: they have the Roles, the tokens and the
// certificates that they would have there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/keyward-dev/keyward/hack/run/processes"
)

func main() {
	// Linux ends a child with its parent *thread* (Pdeathsig): the thread that starts the programs has to be
	// the one that lasts.
	runtime.LockOSThread()

	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(interrupted, stop) // a second Ctrl-C does not wait
	if err := run(interrupted); err != nil {
		fmt.Fprintf(os.Stderr, "make run: %v\n", err)
		os.Exit(1)
	}
}

// run brings everything up, stays until it is interrupted or something ends by itself, and takes everything
// down again.
func run(interrupted context.Context) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	if err := checkTools(root); err != nil {
		return err
	}
	if err := checkPorts(interrupted); err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(interrupted)
	defer fail(nil)
	r := &runner{root: root, out: newProgress(os.Stdout), fail: fail}
	if err := os.MkdirAll(r.local("logs"), 0o700); err != nil {
		return fmt.Errorf("create the directory for logs: %w", err)
	}
	r.programs = processes.NewGroup(r.local("logs"), fail)
	defer r.stop()

	err = r.start(ctx)
	if err == nil {
		r.out.instructions(r)
		<-ctx.Done()
		r.out.gap() // after the ^C of the terminal
	}
	switch cause := context.Cause(ctx); {
	case interrupted.Err() != nil:
		return nil
	case cause != nil:
		return cause // it came first, whatever it led to
	default:
		return err
	}
}

// findRoot returns the repository that the running program was built in.
func findRoot() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	root := filepath.Dir(filepath.Dir(executable))
	if _, err := os.Stat(filepath.Join(root, "config", "local")); err != nil {
		return "", errors.New("the program has to be bin/keyward-run of the repository; use make run")
	}
	return root, nil
}
