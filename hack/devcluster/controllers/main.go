package controllers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
)

// component is the name of the program that these controllers are a part of.
const component = "kube-controller-manager"

// Main runs the controllers as a program of its own, until it is interrupted. The flags are a few of
// kube-controller-manager's.
func Main(args []string) int {
	var opts Options
	flags := flag.NewFlagSet(component, flag.ContinueOnError)
	flags.StringVar(&opts.Kubeconfig, "kubeconfig", "", "the `file` with the address of the API server, and with the credentials for it")
	flags.StringVar(&opts.TokenKey, "service-account-private-key-file", "", "the `file` with the key that signs tokens in Secrets")
	flags.StringVar(&opts.RootCA, "root-ca-file", "", "the `file` with the certificates that verify the API server")
	klog.InitFlags(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer klog.Flush()
	if err := Run(ctx, opts); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", component, err)
		return 1
	}
	return 0
}
