// The manager runs Keyward's controllers, admission webhooks and sync server.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/keyward-dev/keyward/cmd/tracing"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/internal/version"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "keyward-manager:", err)
		os.Exit(1)
	}
}

func run() error {
	settings, err := parseFlags()
	if err != nil {
		return err
	}
	if settings.showVersion {
		fmt.Println("keyward-manager", version.Get())
		return nil
	}
	ctrl.SetLogger(zap.New(zap.Level(settings.logLevel)))
	ctx := ctrl.SetupSignalHandler()
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	flush, err := trace(ctx, settings)
	if err != nil {
		return err
	}
	defer flush()
	mgr, err := controllers.NewManager(ctx, config, settings.Options)
	if err != nil {
		return err
	}
	build := version.Get()
	ctrl.Log.Info("Starting", "version", build.Version, "revision", build.Revision)
	return mgr.Start(ctx)
}

// flushTimeout is how long the last spans may take to be exported.
const flushTimeout = 5 * time.Second

// trace has spans exported, if that is wanted. The function that it returns exports the last ones.
func trace(ctx context.Context, s *settings) (flush func(), err error) {
	log := ctrl.Log.WithName("traces")
	provider, shutdown, err := tracing.Start(ctx, tracing.Config{
		Service: "keyward-manager", Version: version.Get().Version, Instance: s.Identity, Endpoint: s.endpoint, Ratio: s.ratio,
		Failed: func(err error) { log.Error(err, "Cannot export traces") },
	})
	if err != nil {
		return nil, err
	}
	s.Traces = provider
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			log.Error(err, "Cannot export the last traces")
		}
	}, nil
}
