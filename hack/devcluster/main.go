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
	"time"

	"k8s.io/component-base/version"

	"github.com/keyward-dev/keyward/hack/devcluster/cluster"
)

const usage = `devcluster is a Kubernetes control plane for development and tests.

Usage:
  devcluster up [flags]      run etcd, kube-apiserver and kube-controller-manager until interrupted
  devcluster up --node       the same with a node, on which Pods run (Linux, root, containerd)
  devcluster load IMAGE...   give images to the node: an archive, or NAME=PROGRAM for an image of one static program
  devcluster check-node      say what this machine lacks for a node
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
		fail(up(os.Args[2:]))
	case "load":
		fail(load(os.Args[2:]))
	case "check-node":
		fail(cluster.CheckNode())
	case "node-init", "node-inside", "node-janitor":
		// Linux kills children when their parent thread ends, see up.
		runtime.LockOSThread()
		code, err := cluster.NodeCommand(name, os.Args[2:])
		fail(err)
		os.Exit(code)
	case "version":
		fmt.Println(version.Get().GitVersion)
	case "help", "-h", "--help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "devcluster: unknown command %q\n\n%s", name, usage)
		os.Exit(2)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "devcluster: %v\n", err)
		os.Exit(1)
	}
}

func up(args []string) error {
	var opts cluster.Options
	var nodeOpts cluster.NodeOptions
	flags := flag.NewFlagSet("devcluster up", flag.ContinueOnError)
	flags.StringVar(&opts.DataDir, "data-dir", ".local/cluster", "where data, certificates and logs are kept")
	flags.StringVar(&opts.Kubeconfig, "kubeconfig", ".local/kubeconfig", "where the admin kubeconfig is written")
	flags.IntVar(&opts.Port, "port", 0, "port of the API server on 127.0.0.1 (default: that of the last run when free, else any free port)")
	flags.IntVar(&opts.Verbosity, "v", 0, "log level of the Kubernetes components")
	withNode := flags.Bool("node", false, "run a node, too")
	flags.Func("forward", "with --node, PORT=HOST:PORT: a port on 127.0.0.1 that leads to a Service or an address inside; repeatable",
		func(text string) error {
			forward, err := cluster.ParseForward(text)
			nodeOpts.Forwards = append(nodeOpts.Forwards, forward)
			return err
		})
	flags.DurationVar(&nodeOpts.Sync, "kubelet-sync", time.Minute,
		"with --node, the kubelet's syncFrequency: files of Secrets are renewed so often")
	flags.Func("kube-apiserver-arg", "with --node, a further argument of kube-apiserver; repeatable", func(text string) error {
		nodeOpts.APIServer = append(nodeOpts.APIServer, text)
		return nil
	})
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
	ready := func(server string) {
		fmt.Printf("devcluster is ready: Kubernetes %s at %s (KUBECONFIG=%s)\n", version.Get().GitVersion, server, opts.Kubeconfig)
	}
	if *withNode {
		nodeOpts.Programs = filepath.Join(filepath.Dir(executable), "node")
		return cluster.RunWithNode(ctx, opts, nodeOpts, ready)
	}
	return cluster.Run(ctx, opts, ready)
}

// load gives images to a node.
func load(args []string) error {
	flags := flag.NewFlagSet("devcluster load", flag.ContinueOnError)
	dataDir := flags.String("data-dir", ".local/cluster", "that of devcluster up --node")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	return cluster.LoadImages(context.Background(), *dataDir, flags.Args())
}
