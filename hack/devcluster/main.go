// Command devcluster is a Kubernetes control plane in one binary, for development and tests: etcd,
// kube-apiserver and kube-controller-manager, compiled from their Go modules, so that neither a
// container runtime nor a download of binaries is needed.
//
// Called by the name of a component (as argv[0] or as the first argument) it is that component, which
// is what envtest looks for. "devcluster up" runs all of them together.
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

	"k8s.io/component-base/version"

	"github.com/keyward-dev/keyward/hack/devcluster/cluster"
)

const usage = `devcluster is a Kubernetes control plane for development and tests.

Usage:
  devcluster up [flags]      run etcd, kube-apiserver and kube-controller-manager until interrupted
  devcluster version         print the Kubernetes version
  devcluster COMPONENT ...   run one component with its own flags

COMPONENT is etcd, kube-apiserver, kube-controller-manager or kubectl; a link of that name works too.
`

func main() {
	if run, ok := components[filepath.Base(os.Args[0])]; ok {
		run()
		return
	}
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	name := os.Args[1]
	if run, ok := components[name]; ok {
		// The components read os.Args: they must see what they would see as separate binaries.
		os.Args = os.Args[1:]
		run()
		return
	}
	switch name {
	case "up":
		if err := up(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "devcluster: %v\n", err)
			os.Exit(1)
		}
	case "version":
		fmt.Println(version.Get().GitVersion)
	case "help", "-h", "--help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "devcluster: unknown command %q\n\n%s", name, usage)
		os.Exit(2)
	}
}

func up(args []string) error {
	var opts cluster.Options
	flags := flag.NewFlagSet("devcluster up", flag.ContinueOnError)
	flags.StringVar(&opts.DataDir, "data-dir", ".local/cluster", "where data, certificates and logs are kept")
	flags.StringVar(&opts.Kubeconfig, "kubeconfig", ".local/kubeconfig", "where the admin kubeconfig is written")
	flags.IntVar(&opts.Port, "port", 0, "port of the API server on 127.0.0.1 (default: that of the last run when free, else any free port)")
	flags.IntVar(&opts.Verbosity, "v", 0, "log level of the Kubernetes components")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("up takes no arguments, got %q", flags.Args())
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	opts.Executable = executable

	// Linux kills a child when its parent *thread* ends (Pdeathsig): the thread that starts the components has to be one that
	// exists as long as the process.
	runtime.LockOSThread()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cluster.Run(ctx, opts, func(server string) {
		fmt.Printf("devcluster is ready: Kubernetes %s at %s (KUBECONFIG=%s)\n", version.Get().GitVersion, server, opts.Kubeconfig)
	})
}
