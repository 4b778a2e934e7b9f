// Package options is the command line of the console.
package options

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/console/config"
)

// Config is how the console runs.
type Config struct {
	Address, HealthAddress, MetricsAddress string

	KeysDir string
	Origin  string // of the console, as browsers reach it

	TLSCertFile, TLSKeyFile string // both are "" behind a proxy
	BehindProxy             bool   // it ends TLS

	TrustedProxies []netip.Prefix

	File string // that of a ConsoleConfiguration; empty: people sign in with tokens alone

	APIServer, APIServerCAFile string
	ServiceAccounts            bool     // their tokens sign in, too
	Namespaces                 []string // in which Groups and requests for keys are looked for, for people who may not list those of all namespaces

	ManagerNamespace string // in which its Installation is

	// RevocationsNamespace and Revocations name the ConfigMap in which replicas share which sessions were ended; empty: there is one replica, which keeps
	// that in memory. TokenFile has the token of the ServiceAccount that may write it.
	RevocationsNamespace, Revocations, TokenFile string

	AtOnce          int
	ShutdownTimeout time.Duration

	LogSignIns bool // with names and addresses
	LogLevel   slog.Level
	Version    bool // print it and exit
}

const (
	defaultCAFile   = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
	defaultShutdown = 20 * time.Second
	mostAtOnce      = 10_000
	mostNamespaces  = 64
)

// Parse reads the arguments after the program's name; environment is that of the process, for the address that Kubernetes gives to Pods. Its errors
// are one line, which names the flag, or flag.ErrHelp after the usage was written to usage.
func Parse(args []string, environment func(string) string, usage io.Writer) (Config, error) {
	var c Config
	flags := flag.NewFlagSet("keyward-console", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.Address, "listen", ":8443", "`address` of the pages")
	flags.StringVar(&c.HealthAddress, "health-listen", ":8081", "`address` of /healthz and /readyz, plain HTTP")
	flags.StringVar(&c.MetricsAddress, "metrics-listen", ":8080", "`address` of /metrics, plain HTTP; empty: none")
	flags.StringVar(&c.KeysDir, "keys-dir", "", "`folder` with the secrets that protect cookies: files of 32 random bytes, each named by the time "+
		"from which it protects, such as 20261127T120000Z; read again each minute")
	flags.StringVar(&c.Origin, "origin", "", "`URL` at which browsers reach the console, such as https://keyward.example.com, without a path")
	flags.StringVar(&c.TLSCertFile, "tls-cert", "", "PEM `file` with the certificate; read again when it changes")
	flags.StringVar(&c.TLSKeyFile, "tls-key", "", "PEM `file` with its private key")
	flags.BoolVar(&c.BehindProxy, "behind-proxy", false, "serve plain HTTP to a proxy in front, which ends TLS; without it, --tls-cert is required")
	flags.Func("trusted-proxy", "`prefix` of addresses of proxies, such as 10.0.0.0/8, whose X-Forwarded-For says where a sign-in comes from; repeatable",
		func(text string) error {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return errors.New("write a prefix such as 10.0.0.0/8")
			}
			c.TrustedProxies = append(c.TrustedProxies, prefix)
			return nil
		})
	flags.StringVar(&c.File, "config", "", "`file` with a ConsoleConfiguration, which says by which OpenID Connect provider people sign in; "+
		"empty: with tokens alone")
	flags.BoolVar(&c.ServiceAccounts, "allow-service-accounts", false, "let tokens of ServiceAccounts sign in, too; what they do is then logged as done "+
		"by the ServiceAccount, and by no person")
	flags.StringVar(&c.APIServer, "api-server", apiServer(environment), "`URL` of the Kubernetes API; default: that of the cluster of the Pod")
	flags.StringVar(&c.APIServerCAFile, "api-server-ca-file", defaultCAFile, "PEM `file` with the authorities of --api-server")
	flags.Func("namespace", "`name` of a namespace in which Groups are looked for, for people who may not list those of all namespaces; repeatable, at most 64",
		func(name string) error {
			if len(validation.IsDNS1123Label(name)) > 0 || len(c.Namespaces) == mostNamespaces {
				return errors.New("write the name of a namespace; at most 64")
			}
			c.Namespaces = append(c.Namespaces, name)
			return nil
		})
	flags.Func("manager-namespace", "`name` of the namespace of the manager, whose Installation the page Platform shows (default keyward-system)",
		func(name string) error {
			if len(validation.IsDNS1123Label(name)) > 0 {
				return errors.New("write the name of a namespace")
			}
			c.ManagerNamespace = name
			return nil
		})
	flags.Func("revocations", "`namespace/name` of the ConfigMap in which replicas share which sessions were ended; without it there has to be one replica, "+
		"which keeps that in memory, and a restart signs everybody out", c.setRevocations)
	flags.StringVar(&c.TokenFile, "token-file", config.DefaultTokenFile, "`file` with the token of the console's own ServiceAccount, for --revocations alone")
	flags.IntVar(&c.AtOnce, "most-requests", 0, "`number` of requests that are answered at a time; others get 503 (default 128)")
	flags.DurationVar(&c.ShutdownTimeout, "shutdown-timeout", defaultShutdown, "how `long` requests in flight may take after SIGTERM")
	flags.BoolVar(&c.LogSignIns, "log-sign-ins", false, "have the log say who signs in, from which address, and what became of it; otherwise it has "+
		"nothing of a person")
	flags.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	flags.BoolVar(&c.Version, "version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(usage, "Usage: keyward-console [flags]")
			flags.SetOutput(usage)
			flags.PrintDefaults()
		}
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, errors.New("there are only flags, no arguments: look for a space that should be a '='")
	}
	if c.Version {
		return c, nil
	}
	return c, c.check()
}

func (c *Config) setRevocations(text string) error {
	c.RevocationsNamespace, c.Revocations = "", ""
	if text == "" {
		return nil
	}
	namespace, name, _ := strings.Cut(text, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return errors.New("write a namespace and the name of a ConfigMap in it, such as keyward-system/keyward-console-revocations")
	}
	c.RevocationsNamespace, c.Revocations = namespace, name
	return nil
}

// apiServer is where Kubernetes tells Pods that its API is; "" outside of one.
func apiServer(environment func(string) string) string {
	host := environment("KUBERNETES_SERVICE_HOST")
	if host == "" {
		return ""
	}
	return "https://" + net.JoinHostPort(host, cmp.Or(environment("KUBERNETES_SERVICE_PORT"), "443"))
}

func (c *Config) check() error {
	origin, err := url.Parse(c.Origin)
	server, serverErr := url.Parse(c.APIServer)
	switch {
	case c.KeysDir == "":
		return errors.New("--keys-dir is required: see docs/console.md for how to make its files")
	case err != nil || origin.Scheme != "https" || origin.Host == "" || c.Origin != origin.Scheme+"://"+origin.Host:
		return errors.New("--origin: write the URL of the console without a path, such as https://keyward.example.com; browsers keep its cookies over HTTPS only")
	case serverErr != nil || server.Scheme != "https" || server.Host == "":
		return errors.New("--api-server: write an https URL; outside of a Pod it has no default")
	case (c.TLSCertFile == "") != (c.TLSKeyFile == ""):
		return errors.New("--tls-cert and --tls-key belong together: write both")
	case c.TLSCertFile == "" && !c.BehindProxy:
		return errors.New("--tls-cert and --tls-key are required, unless --behind-proxy says that a proxy ends TLS")
	case c.TLSCertFile != "" && c.BehindProxy:
		return errors.New("--behind-proxy serves plain HTTP: remove it, or --tls-cert and --tls-key")
	case c.Revocations != "" && c.TokenFile == "":
		return errors.New("--revocations is written with the token in --token-file: name one")
	case c.AtOnce < 0 || c.AtOnce > mostAtOnce:
		return fmt.Errorf("--most-requests: write a number up to %d", mostAtOnce)
	}
	return nil
}
