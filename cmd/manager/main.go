// The manager runs Keyward's controllers, admission webhooks and sync server.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap/zapcore"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/syncserver"
	"github.com/keyward-dev/keyward/internal/tier"
)

var version = "dev"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "keyward-manager:", err)
		os.Exit(1)
	}
}

func run() error {
	options := controllers.Options{Tiers: tier.Builtin(), Identity: identity()}
	configFile := ""
	logLevel := zapcore.InfoLevel
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.StringVar(&options.Namespace, "namespace", namespace(), "namespace that the manager runs in; default from POD_NAMESPACE")
	flag.BoolVar(&options.LeaderElect, "leader-elect", true, "let one of several replicas lead")
	flag.StringVar(&options.SyncAddress, "sync-bind-address", ":9444", "where validation servers connect to the leader")
	flag.StringVar(&options.WebhookAddress, "webhook-bind-address", ":9443", "where the API server calls admission webhooks")
	flag.StringVar(&options.WebhookClientCAFile, "webhook-client-ca-file", "",
		"PEM file of the authorities, one of which must have signed the certificate that the API server presents to webhooks; without it none is asked for")
	flag.StringVar(&options.MetricsAddress, "metrics-bind-address", ":9445", "where Prometheus reads metrics; 0 turns them off")
	flag.StringVar(&options.HealthAddress, "health-probe-bind-address", ":9446", "where /healthz and /readyz are; 0 turns them off")
	flag.StringVar(&options.PprofAddress, "pprof-bind-address", "0", "where net/http/pprof shows profiles, to whoever asks, such as 127.0.0.1:6060; 0 turns it off")
	flag.StringVar(&options.CertDir, "cert-dir", "/var/run/keyward/certs", "where the Secret keyward-certs is mounted")
	flag.DurationVar(&options.Sync.StartupGrace, "sync-startup-grace", 5*time.Second,
		"how long a new leader waits for validation servers to reconnect before anything counts as enforced; more than 2s")
	flag.DurationVar(&options.Sync.Grace, "sync-grace", 5*time.Second,
		"how long a validation server whose connection was lost is waited for")
	flag.IntVar(&options.SyncStreams, "sync-streams-per-account", syncserver.DefaultStreams,
		"how many streams the validation servers of one ServiceAccount may have together: more than there are of them, for those that come back before they are missed")
	flag.StringVar(&options.UsageStore, "usage-store", "",
		"redis:// or rediss:// URL of the Redis or Valkey that keeps usage; default from KEYWARD_USAGE_STORE, and without it in the status of Groups")
	flag.DurationVar(&options.LastUsedResolution, "last-used-resolution", 10*time.Minute,
		"how far the last use of a key must have moved on to be written into its status, with its requests; a busy key costs one write in that time")
	flag.IntVar(&options.MetricsGroups, "metrics-groups", 100, "how many Groups, those with the most requests, have metrics of their own; the others are one")
	flag.StringVar(&configFile, "config", "", "YAML file with the catalogue of tiers, docs/tiers.md; without it the built-in one")
	flag.TextVar(&logLevel, "log-level", zapcore.InfoLevel, "debug, info or error")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return nil
	}
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; flags only, see --help", flag.Arg(0))
	}

	if configFile != "" {
		var err error
		if options.Tiers, err = tier.Load(configFile); err != nil {
			return err
		}
	}
	if options.UsageStore == "" {
		options.UsageStore = os.Getenv("KEYWARD_USAGE_STORE") // not as the flag's default, which --help prints
	}
	if options.SyncStreams < 1 {
		return fmt.Errorf("--sync-streams-per-account: write a number such as %d", syncserver.DefaultStreams)
	}
	if options.LastUsedResolution < time.Second || options.LastUsedResolution > 12*time.Hour {
		return fmt.Errorf("--last-used-resolution: write 1s to 12h, such as 10m") // validation servers forget what is recorded after two days
	}
	ctrl.SetLogger(zap.New(zap.Level(logLevel)))
	ctx := ctrl.SetupSignalHandler()
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	mgr, err := controllers.NewManager(ctx, config, options)
	if err != nil {
		return err
	}
	ctrl.Log.Info("Starting", "version", version)
	return mgr.Start(ctx)
}

func namespace() string {
	if name := os.Getenv("POD_NAMESPACE"); name != "" {
		return name
	}
	return "keyward-system"
}

// identity is that of the Pod, so that a container which is restarted is the replica that it was.
// Elsewhere there is none.
func identity() string {
	name, uid := os.Getenv("POD_NAME"), os.Getenv("POD_UID")
	if name == "" || uid == "" {
		return ""
	}
	return name + "_" + uid
}
