// The manager runs Keyward's controllers, admission webhooks and sync server.
package main

import (
	"fmt"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

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
	mgr, err := controllers.NewManager(ctx, config, settings.Options)
	if err != nil {
		return err
	}
	build := version.Get()
	ctrl.Log.Info("Starting", "version", build.Version, "revision", build.Revision)
	return mgr.Start(ctx)
}
