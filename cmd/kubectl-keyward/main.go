// Command kubectl-keyward is kubectl's plugin for the keys of Keyward: kubectl keyward status, rotate, revoke and
// so on. It talks to the Kubernetes API with the rights of its user, and to validation servers for what they
// decided.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/keyward-dev/keyward/cmd/kubectl-keyward/plugin"
	"github.com/keyward-dev/keyward/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(plugin.Run(ctx, os.Args[1:], streams, version.Get().String()))
}
