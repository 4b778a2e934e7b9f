package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/billing"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/syncserver"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/version"
)

// settings are what the command line says.
type settings struct {
	controllers.Options

	configFile  string
	sinksFile   string
	billingFile string
	watched     string
	endpoint    string  // of an OpenTelemetry collector
	ratio       float64 // of the traces that are sampled
	logLevel    zapcore.Level
	showVersion bool
}

// parseFlags reads the command line and the environment.
func parseFlags() (*settings, error) {
	s := &settings{Options: controllers.Options{Tiers: tier.Builtin(), Identity: identity()}, logLevel: zapcore.InfoLevel}
	s.addServerFlags()
	s.addSyncFlags()
	s.addUsageFlags()
	s.addSidecarFlags()
	s.addLeakFlags()
	flag.BoolVar(&s.showVersion, "version", false, "print the version and exit")
	flag.StringVar(&s.Namespace, "namespace", namespace(), "namespace that the manager runs in; default from POD_NAMESPACE")
	flag.BoolVar(&s.LeaderElect, "leader-elect", true, "let one of several replicas lead")
	flag.StringVar(&s.watched, "watch-namespaces", "",
		"names of namespaces, separated by commas: the manager reads and writes objects in these and in its own only, with the Roles of "+
			"config/namespaced; without it in all namespaces")
	s.addCertificateFlags()
	flag.StringVar(&s.configFile, "config", "", "YAML file with the catalogue of tiers, docs/tiers.md; without it the built-in one")
	flag.StringVar(&s.sinksFile, "sinks-file", "",
		"YAML file with the sinks that the logs of Groups are sent to, docs/sinks.md; without it they are sent nowhere")
	flag.StringVar(&s.billingFile, "billing-file", "",
		"YAML file with the billing engines that usage is sent to, docs/billing.md; without it it is sent nowhere")
	flag.DurationVar(&s.BillingLookInterval, "billing-look-interval", billing.DefaultLookInterval,
		"how often the leader looks for Groups that are new or deleted, to bill them; 1s to 10m")
	flag.StringVar(&s.SealedContextKeys, "sealed-context-keys", "",
		"directory with the keys that seal the sealed contexts of Groups for content servers, such as a mounted Secret, "+
			"docs/how-to/sealed-context.md; without it they are not sent")
	flag.StringVar(&s.endpoint, "otlp-endpoint", "",
		"URL of an OpenTelemetry collector that receives traces over OTLP, such as http://collector:4318; default from "+
			"OTEL_EXPORTER_OTLP_ENDPOINT; without either nothing is traced")
	flag.Float64Var(&s.ratio, "trace-sample-ratio", 1, "how many of the traces of changes are sampled, from 0 to 1")
	flag.TextVar(&s.logLevel, "log-level", zapcore.InfoLevel, "debug, info or error")
	flag.Parse()
	if s.showVersion {
		return s, nil
	}
	if flag.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; flags only, see --help", flag.Arg(0))
	}
	return s, s.complete()
}

// addCertificateFlags adds the flags of the serving certificate.
func (s *settings) addCertificateFlags() {
	flag.StringVar(&s.CertDir, "cert-dir", "/var/run/keyward/certs",
		"with --ca-file: where the serving certificate is mounted, as tls.crt and tls.key")
	flag.StringVar(&s.CAFile, "ca-file", "",
		"PEM file of the authorities of the serving certificate, if somebody else issues it, such as cert-manager: the manager publishes "+
			"them, and leaves webhook configurations alone; without it the manager issues the certificate")
	flag.DurationVar(&s.AuthorityOverlap, "authority-overlap", 24*time.Hour,
		"how long a new authority is published before it issues the serving certificate: longer than kubelets take to update files in "+
			"Pods, which is two minutes")
}

// addServerFlags adds the flags of the ports besides the sync port.
func (s *settings) addServerFlags() {
	flag.StringVar(&s.WebhookAddress, "webhook-bind-address", ":9443", "where the API server calls admission webhooks")
	flag.StringVar(&s.WebhookClientCAFile, "webhook-client-ca-file", "",
		"PEM file of authorities, one of which must have signed the client certificate that the API server presents to webhooks; "+
			"without it no certificate is required")
	flag.StringVar(&s.MetricsAddress, "metrics-bind-address", ":9445", "where Prometheus reads metrics; 0 turns them off")
	flag.StringVar(&s.HealthAddress, "health-probe-bind-address", ":9446", "where /healthz and /readyz are; 0 turns them off")
	flag.StringVar(&s.PprofAddress, "pprof-bind-address", "0",
		"where net/http/pprof shows profiles to anyone who connects, such as 127.0.0.1:6060; 0 turns it off")
}

// addSyncFlags adds the flags of the sync port.
func (s *settings) addSyncFlags() {
	flag.StringVar(&s.SyncAddress, "sync-bind-address", ":9444", "where validation servers connect to the leader")
	flag.DurationVar(&s.Sync.StartupGrace, "sync-startup-grace", 5*time.Second,
		"how long a new leader waits for validation servers to reconnect before anything counts as enforced; more than 2s")
	flag.DurationVar(&s.Sync.Grace, "sync-grace", 5*time.Second,
		"how long the leader waits for a disconnected validation server to reconnect")
	flag.DurationVar(&s.ForgetServersAfter, "sync-forget-after", 24*time.Hour,
		"how long the status of every change names a validation server that was disconnected and not shut down, because it may "+
			"still decide by what it knows; 0 is until it reconnects")
	flag.BoolVar(&s.Sync.DeliverDespiteRejections, "deliver-despite-rejections", false,
		"deliver keys although a connected validation server cannot use their record or that of their Group, and so refuses them; for "+
			"the time of an upgrade in which servers of an earlier release do not receive these keys")
	flag.IntVar(&s.SyncStreams, "sync-streams-per-account", syncserver.DefaultStreams,
		"how many streams the validation servers of one ServiceAccount may have in total: more than there are servers, because "+
			"a server may reconnect before its earlier stream has ended")
}

// addUsageFlags adds the flags of usage and its metrics.
func (s *settings) addUsageFlags() {
	flag.StringVar(&s.UsageStore, "usage-store", "",
		"redis:// or rediss:// URL of the Redis or Valkey that stores usage; default from KEYWARD_USAGE_STORE; without either, usage "+
			"is stored in GroupUsages")
	flag.StringVar(&s.UsageAddress, "usage-bind-address", "0",
		"where programs read what was used of Groups over time, such as :9448, docs/reference/usage-series.md; 0 turns it off")
	flag.DurationVar(&s.LastUsedResolution, "last-used-resolution", 10*time.Minute,
		"how much later the last use of a key must be to be written into its status, with its requests; a busy key costs one write "+
			"in that time")
	flag.IntVar(&s.MetricsGroups, "metrics-groups", 100,
		"how many Groups, those with the most requests, have metrics of their own; the others share one")
	flag.IntVar(&s.MetricsKeys, "metrics-keys", 100,
		"how many ApiKeys, those that end soonest without a rotation before, have a metric of their own")
}

// addSidecarFlags adds the flags of the sidecars that are added to Pods.
func (s *settings) addSidecarFlags() {
	flag.StringVar(&s.SidecarImage, "sidecar-image", "", "image of the validation server in sidecars that are added to Pods; default from "+
		"KEYWARD_SIDECAR_IMAGE, or else keyward/validator with the version of the manager")
	flag.StringVar(&s.SidecarTrustBundle, "sidecar-trust-bundle", "", "name of the ClusterTrustBundle with the authority that sidecars trust; "+
		"without it they mount the ConfigMap keyward-ca of their namespace")
}

// addLeakFlags adds the flags of reports of leaks.
func (s *settings) addLeakFlags() {
	flag.StringVar(&s.Leaks.Address, "leaks-bind-address", "0",
		"where scanners report key texts that they have found, such as :9447, docs/leaks.md; 0 turns it off")
	flag.StringVar(&s.Leaks.TokenFile, "leaks-token-file", "", "file with the token, of at least 16 characters, of who may report leaks")
	flag.StringVar(&s.Leaks.GitHubKeysURL, "leaks-github-keys-url", "",
		"https:// URL of the keys with which GitHub signs reports of its secret scanning partner program; without it they are refused")
}

// complete checks the settings, and adds what is in files and in the environment.
func (s *settings) complete() (err error) {
	if s.configFile != "" {
		if s.Tiers, err = tier.Load(s.configFile); err != nil {
			return err
		}
	}
	if s.sinksFile != "" {
		if s.Sinks, err = config.Load(s.sinksFile); err != nil {
			return err
		}
	}
	if s.billingFile != "" {
		if s.Billing, err = config.LoadBilling(s.billingFile); err != nil {
			return err
		}
	}
	if s.UsageStore == "" {
		s.UsageStore = os.Getenv("KEYWARD_USAGE_STORE") // not as the flag's default, which --help prints
	}
	s.SidecarImage = cmp.Or(s.SidecarImage, os.Getenv("KEYWARD_SIDECAR_IMAGE"), "keyward/validator:"+version.Get().Version)
	if s.watched != "" {
		s.WatchNamespaces = strings.Split(s.watched, ",")
	}
	for _, name := range s.WatchNamespaces {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			return fmt.Errorf("--watch-namespaces: %q is not the name of a namespace; write names separated by commas, such as acme,shops", name)
		}
	}
	if s.AuthorityOverlap <= 0 {
		return fmt.Errorf("--authority-overlap: write a duration such as 24h")
	}
	if !(s.ratio >= 0 && s.ratio <= 1) {
		return fmt.Errorf("--trace-sample-ratio: write a number from 0 to 1, such as 0.01 for one trace in a hundred")
	}
	if s.SyncStreams < 1 {
		return fmt.Errorf("--sync-streams-per-account: write a number such as %d", syncserver.DefaultStreams)
	}
	if s.Leaks.Enabled() && s.Leaks.TokenFile == "" && s.Leaks.GitHubKeysURL == "" {
		return fmt.Errorf("--leaks-bind-address: nobody may report; set --leaks-token-file or --leaks-github-keys-url, or both")
	}
	if url := s.Leaks.GitHubKeysURL; url != "" && !strings.HasPrefix(url, "https://") {
		return fmt.Errorf("--leaks-github-keys-url: write an https:// URL")
	}
	// Validation servers forget what is recorded after two days.
	if s.LastUsedResolution < time.Second || s.LastUsedResolution > 12*time.Hour {
		return fmt.Errorf("--last-used-resolution: write 1s to 12h, such as 10m")
	}
	if s.BillingLookInterval < time.Second || s.BillingLookInterval > 10*time.Minute {
		return fmt.Errorf("--billing-look-interval: write 1s to 10m, such as %s", billing.DefaultLookInterval)
	}
	return nil
}

func namespace() string {
	if name := os.Getenv("POD_NAMESPACE"); name != "" {
		return name
	}
	return "keyward-system"
}

// identity returns the identity of the Pod, so that a restarted container is the same replica. Outside of a Pod there is
// none.
func identity() string {
	name, uid := os.Getenv("POD_NAME"), os.Getenv("POD_UID")
	if name == "" || uid == "" {
		return ""
	}
	return name + "_" + uid
}
