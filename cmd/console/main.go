// Command console serves Keyward's pages to people who have no kubeconfig. All that it reads and changes it reads and changes as the person who has
// signed in; of its own, it has no right over anything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/options"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/program"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/version"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run()) }

func run() int {
	config, err := options.Parse(os.Args[1:], os.Getenv, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "keyward-console:", err)
		return exitUsage
	case config.Version:
		fmt.Println("keyward-console", version.Get())
		return 0
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: config.LogLevel}))
	klog.SetLogger(logr.Discard()) // client-go writes names of objects
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
	desk := func(of *person.Person) (web.Desk, error) {
		return cluster.New(of, cluster.Options{Namespaces: config.Namespaces, ManagerNamespace: config.ManagerNamespace, Now: time.Now})
	}
	console, err := program.New(config, desk, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "keyward-console:", err)
		return exitFailure
	}
	build := version.Get()
	log.Info("starting", slog.String("version", build.Version), slog.String("revision", build.Revision))

	// A second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := console.Run(ctx); err != nil {
		log.Error("ended", slog.Any("error", err))
		return exitFailure
	}
	return 0
}
