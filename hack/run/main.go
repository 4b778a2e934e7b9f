// Command run is the program of make run: all of Keyward on a real Kubernetes API, on this machine. It starts the cluster,
// the manager, a validation server and a sample content service, and plays the part of the kubelet for the two that would
// be Pods. They have the same Roles, tokens and certificates as they would have in Pods.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/keyward-dev/keyward/hack/run/processes"
)

func main() {
	// Linux kills a child when its parent *thread* ends (Pdeathsig): the thread that starts the programs must not end.
	runtime.LockOSThread()

	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(interrupted, stop) // a second Ctrl-C does not wait
	inPods := flag.Bool("node", false, "run everything in Pods, on a node (Linux, root, containerd)")
	flag.Parse()
	if err := run(interrupted, *inPods); err != nil {
		fmt.Fprintf(os.Stderr, "make run: %v\n", err)
		os.Exit(1)
	}
}

// run starts everything, waits until it is interrupted or a program ends unexpectedly, and stops everything.
func run(interrupted context.Context, inPods bool) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	if err := checkTools(root); err != nil {
		return err
	}
	wanted := allPorts
	if inPods {
		wanted = append([]int{consolePort}, forwardedPorts...)
		if err := checkNode(interrupted, root); err != nil {
			return err
		}
	}
	if err := checkPorts(interrupted, wanted); err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(interrupted)
	defer fail(nil)
	r := &runner{root: root, inPods: inPods, out: newProgress(os.Stdout), fail: fail}
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
		return cause // it came first, and may have caused others
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
