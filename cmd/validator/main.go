// Command validator is Keyward's validation server: it authenticates requests with API keys next to the content, from
// data that the manager keeps current. It never talks to Kubernetes and never holds a key.
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

	"github.com/keyward-dev/keyward/cmd/tracing"
	"github.com/keyward-dev/keyward/internal/version"
	"github.com/keyward-dev/keyward/server"
	"github.com/keyward-dev/keyward/server/gctuner"
	"github.com/keyward-dev/keyward/server/options"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run()) }

func run() int {
	gctuner.Keep()
	hostname, _ := os.Hostname() // without one, Parse asks for --instance
	config, err := options.Parse(os.Args[1:], hostname, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "keyward-validator:", err)
		return exitUsage
	case config.Version:
		fmt.Println("keyward-validator", version.Get())
		return 0
	}

	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: config.LogLevel}))
	redirectStandardLog(log)
	flush, err := trace(&config, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "keyward-validator:", err)
		return exitUsage
	}
	defer flush()
	validator, err := server.New(config, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "keyward-validator:", err)
		return exitFailure
	}
	build := version.Get()
	log.Info("starting", slog.String("version", build.Version), slog.String("revision", build.Revision),
		slog.String("instance", config.Sync.Instance))

	// A second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := validator.Run(ctx); err != nil {
		log.Error("ended", slog.Any("error", err))
		return exitFailure
	}
	return 0
}

// flushTimeout is how long the last spans may take to be exported.
const flushTimeout = 5 * time.Second

// trace has spans exported, if that is wanted. The function that it returns exports the last ones.
func trace(config *options.Config, log *slog.Logger) (flush func(), err error) {
	provider, shutdown, err := tracing.Start(context.Background(), tracing.Config{
		Service: "keyward-validator", Version: version.Get().Version, Instance: config.Sync.Instance,
		Endpoint: config.OTLPEndpoint, Ratio: config.Tracing.Ratio,
		Failed: func(err error) { log.Warn("cannot export traces", slog.Any("error", err)) },
	})
	if err != nil {
		return nil, err
	}
	config.Tracing.Provider = provider
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			log.Warn("cannot export the last traces", slog.Any("error", err))
		}
	}, nil
}
