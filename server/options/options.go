// Package options is the command line of the validator.
package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer/throttle"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/syncclient"
)

// Config is how a validator runs.
type Config struct {
	ProxyAddress string // in front of Upstream, if there is one
	HTTPAddress  string
	GRPCAddress  string
	AdminAddress string

	Upstream  *url.URL      // nil for none
	Timeout   time.Duration // of Upstream, until it begins its answer
	Project   string
	Stripping httpapi.Stripping // of what content servers see

	Listeners Listeners

	Reading routing.Reading

	TrustedProxies      []netip.Prefix
	ClientAddressHeader string
	Throttle            throttle.Config

	AdminTokenFile string

	EnvoyAccessLog bool // take in Envoy's access logs, for bytes

	Sync  syncclient.Config
	Store store.Config

	ShutdownDelay   time.Duration
	ShutdownTimeout time.Duration

	LogLevel slog.Level
	Version  bool // print it and exit
}

const (
	maxInstance = 253

	defaultTimeout = time.Minute

	defaultFailures   = 60
	defaultIPv6Prefix = 64
	bitsIPv6          = 128

	allow = "allow"
	deny  = "deny"
)

// Parse reads the arguments after the program's name. Its errors are one line, which names
// the flag and the remedy, or flag.ErrHelp after the usage was written to usage.
func Parse(args []string, hostname string, usage io.Writer) (Config, error) {
	var c Config
	flags := flag.NewFlagSet("validator", flag.ContinueOnError)
	flags.SetOutput(io.Discard)

	flags.StringVar(&c.ProxyAddress, "proxy-bind-address", ":8080", "`address` of the reverse proxy in front of --upstream")
	flags.StringVar(&c.HTTPAddress, "http-bind-address", ":8081", "`address` of /authz and its dialects, /v1/verify and /v1/authorizers/aws")
	flags.StringVar(&c.GRPCAddress, "grpc-bind-address", ":8082", "`address` of Envoy's external authorization")
	flags.StringVar(&c.AdminAddress, "admin-bind-address", ":8083", "`address` of /healthz, /readyz, /metrics, /v1/decisions and /v1/usage")
	flags.StringVar(&c.AdminTokenFile, "admin-token-file", "", "`file` of the token for /v1/decisions and /v1/usage; without it no decisions are kept, and usage is neither taken in nor told")

	flags.BoolVar(&c.EnvoyAccessLog, "envoy-access-log", false, "take in Envoy's gRPC access log at --grpc-bind-address, and count the bytes of responses to what this server has allowed, each once; the log must be sent to the server that decides; by default no log is believed")

	flags.Func("upstream", "`URL` of the content server, such as http://127.0.0.1:9000, https:// or h2c://; without it there is no reverse proxy", c.setUpstream)
	duration(flags, &c.Timeout, "upstream-timeout", defaultTimeout, "how `long` the upstream may take to begin its answer; 0 is for ever (default 1m)")
	flags.StringVar(&c.Project, "project", "", "the `project` of all requests to the reverse proxy; without it routes decide")
	flags.BoolVar(&c.Stripping.KeepCredential, "keep-credential", false, "let content servers see the API key: whoever reads their logs or their memory can use it; by default it is removed")
	flags.Func("keep-override-headers", "`names`, separated by commas, of headers such as X-HTTP-Method-Override that content servers are to see: a request may then be served as another than was decided on; by default all headers of the kind are removed", c.keepOverrides)

	c.Listeners.flags(flags)

	flags.Func("path-parameters", "deny: answer 400 where a segment of the path has a ';', or ends in '.' or a space, which some content servers cut off (default); allow: take them as they are, because the content servers do", c.setPathParameters)
	flags.BoolVar(&c.Reading.IgnoreCase, "ignore-path-case", false, "compare paths with routes without regard to case, because the content servers do; names such as REPORT~1 are answered 400 then")

	flags.Func("trusted-proxies", "`CIDRs`, separated by commas, of proxies that tell the client's address; repeat it for more; without it no proxy is believed", c.addTrustedProxies)
	c.ClientAddressHeader = clientaddr.HeaderXForwardedFor
	flags.Func("client-address-header", "`name` of the header in which trusted proxies list addresses: X-Forwarded-For (default) or Forwarded", c.setClientAddressHeader)
	flags.IntVar(&c.Throttle.Failures, "max-failures-per-minute", defaultFailures, "how `many` requests of one client address may fail in a minute before failures are answered 429; 0 is any number")
	flags.IntVar(&c.Throttle.IPv6Prefix, "throttle-ipv6-prefix", defaultIPv6Prefix, "`bits` of an IPv6 address that tell clients apart")

	flags.StringVar(&c.Sync.Address, "sync-address", "dns:///keyward-sync.keyward-system.svc:9444", "gRPC `target` of the manager")
	flags.StringVar(&c.Sync.ServerName, "sync-server-name", "keyward-sync.keyward-system.svc", "`name` in the manager's certificate")
	flags.StringVar(&c.Sync.CAFile, "sync-ca-file", "/var/run/keyward/ca/ca.crt", "PEM `file` of the authority of the manager's certificate")
	flags.StringVar(&c.Sync.TokenFile, "sync-token-file", "/var/run/secrets/keyward/token", "`file` of a ServiceAccount token with the audience keyward.dev/sync")
	flags.StringVar(&c.Sync.Instance, "instance", hostname, "`name` of this server in status and events")
	flags.Func("group", "`namespace/name` of a group to validate for; repeat it for more; without --group and --namespace: every group that the token may validate", c.addGroup)
	flags.Func("namespace", "`namespace` of groups to validate for; repeat it for more", c.addNamespace)

	duration(flags, &c.Sync.UsageInterval, "usage-interval", 10*time.Second, "how `often` to report to the manager what was used, at least 1s (default 10s)")
	duration(flags, &c.Sync.UsageTimeout, "usage-timeout", 20*time.Second, "how `long` to wait, when all requests are finished after SIGTERM, for the manager to take down what was used (default 20s)")
	flags.StringVar(&c.Store.Dir, "snapshot-dir", "", "`directory` to keep the snapshot in over restarts; it holds digests and the secret of imported ones, no keys")
	duration(flags, &c.Store.MaxStaleness, "max-staleness", 0, "how `long` without the manager until --on-stale applies; 0 is for ever (default)")
	flags.Func("on-stale", "allow: go on deciding from the last snapshot (default); deny: answer 503", c.setOnStale)

	duration(flags, &c.ShutdownDelay, "shutdown-delay", 5*time.Second, "how `long` to serve on, unready, after SIGTERM, until no load balancer sends requests any more (default 5s)")
	duration(flags, &c.ShutdownTimeout, "shutdown-timeout", 20*time.Second, "how `long` requests in flight may take after that (default 20s)")
	flags.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	flags.BoolVar(&c.Version, "version", false, "print the version and exit")

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(usage, "Usage: validator [flags]")
			flags.SetOutput(usage)
			flags.PrintDefaults()
		}
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, errors.New("there are only flags, no arguments: check for a space where a '=' should be")
	}
	return c, c.check()
}

func (c *Config) check() error {
	for name, address := range map[string]string{
		"proxy-bind-address": c.ProxyAddress, "http-bind-address": c.HTTPAddress,
		"grpc-bind-address": c.GRPCAddress, "admin-bind-address": c.AdminAddress,
	} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("--%s: %q is no address: write one such as :8081 or 127.0.0.1:8081", name, address)
		}
	}
	switch {
	case c.Sync.Instance == "" || len(c.Sync.Instance) > maxInstance || strings.ContainsFunc(c.Sync.Instance, isNoInstance):
		return fmt.Errorf("--instance: give a name of 1 to %d letters, digits and -._:/, such as the name of the pod", maxInstance)
	case c.Throttle.Failures < 0:
		return errors.New("--max-failures-per-minute: write a number such as 60, or 0 for any")
	case c.Throttle.IPv6Prefix < 1 || c.Throttle.IPv6Prefix > bitsIPv6:
		return fmt.Errorf("--throttle-ipv6-prefix: write a number of bits from 1 to %d, such as 64", bitsIPv6)
	case c.Sync.Address == "":
		return errors.New("--sync-address: say where the manager is, such as dns:///keyward-sync.keyward-system.svc:9444")
	case c.Sync.UsageInterval < time.Second:
		return errors.New("--usage-interval: write at least 1s, such as 10s")
	case c.Listeners.ProxyProtocol && (c.Upstream == nil || len(c.TrustedProxies) == 0):
		return errors.New("--proxy-protocol: it is for the reverse proxy; give --upstream, and with --trusted-proxies the addresses of the load balancers that speak it")
	case c.Project != "" && c.Upstream == nil:
		return errors.New("--project: it is for the reverse proxy; give --upstream too, or name the project where the other doors are configured")
	case c.Store.DenyStale && c.Store.MaxStaleness == 0:
		return errors.New("--on-stale=deny: say after how long with --max-staleness, such as --max-staleness=1h")
	default:
		return c.Listeners.check()
	}
}

// duration is flags.DurationVar with an error that helps.
func duration(flags *flag.FlagSet, value *time.Duration, name string, byDefault time.Duration, usage string) {
	*value = byDefault
	flags.Func(name, usage, func(text string) error {
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed < 0 {
			return errors.New("write a duration such as 30s, 5m or 1h")
		}
		*value = parsed
		return nil
	})
}

func (c *Config) setUpstream(text string) error {
	upstream, err := url.Parse(text)
	if err != nil || upstream.Host == "" || !slices.Contains([]string{"http", "https", "h2c"}, upstream.Scheme) {
		return errors.New("write a URL such as http://127.0.0.1:9000")
	}
	if upstream.Path != "" && upstream.Path != "/" || upstream.RawQuery != "" || upstream.User != nil || upstream.Fragment != "" {
		return errors.New("leave out everything but scheme, host and port: paths are passed on as they are")
	}
	upstream.Path = ""
	c.Upstream = upstream
	return nil
}

func (c *Config) keepOverrides(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !httpapi.IsOverride(name) || !httpapi.IsUsual(name) {
			return errors.New("write names of headers that are removed for what content servers may take them for, such as X-HTTP-Method-Override,X-Original-URL; others are not concerned")
		}
		c.Stripping.KeepOverrides = append(c.Stripping.KeepOverrides, name)
	}
	return nil
}

func (c *Config) addTrustedProxies(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(one))
		if err != nil {
			return errors.New("write CIDRs such as 10.0.0.0/8,2001:db8::/32")
		}
		c.TrustedProxies = append(c.TrustedProxies, prefix.Masked())
	}
	return nil
}

func (c *Config) setClientAddressHeader(text string) error {
	c.ClientAddressHeader = http.CanonicalHeaderKey(text)
	if c.ClientAddressHeader != clientaddr.HeaderXForwardedFor && c.ClientAddressHeader != clientaddr.HeaderForwarded {
		return errors.New("write X-Forwarded-For or Forwarded")
	}
	return nil
}

func (c *Config) addGroup(text string) error {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return errors.New("write namespace/name")
	}
	c.Sync.Groups = append(c.Sync.Groups, text)
	return nil
}

func (c *Config) addNamespace(text string) error {
	if text == "" || strings.Contains(text, "/") {
		return errors.New("write the name of one namespace")
	}
	c.Sync.Namespaces = append(c.Sync.Namespaces, text)
	return nil
}

func (c *Config) setOnStale(text string) error {
	switch text {
	case allow, deny:
		c.Store.DenyStale = text == deny
		return nil
	default:
		return errors.New("write allow or deny")
	}
}

func (c *Config) setPathParameters(text string) error {
	switch text {
	case allow, deny:
		c.Reading.Parameters = text == allow
		return nil
	default:
		return errors.New("write allow or deny")
	}
}

// isNoInstance is whether the manager does not take a character in the name of an instance.
func isNoInstance(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:/", r)
}
