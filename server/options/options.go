// Package options is the command line of the validator.
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

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/principal"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/syncclient"
	"github.com/keyward-dev/keyward/server/tracing"
)

// Config is how a validator runs.
type Config struct {
	ProxyAddress string // in front of Upstream, if there is one
	HTTPAddress  string
	GRPCAddress  string
	AdminAddress string

	Upstream  *url.URL      // nil for none
	Timeout   time.Duration // of Upstream, until it begins its response
	Project   string
	Stripping httpapi.Stripping // of what content servers see

	Listeners Listeners

	Reading routing.Reading
	Keys    credential.Config // where keys are looked for

	Principal principal.Config // of what is signed for content servers

	TrustedProxies      []netip.Prefix
	ClientAddressHeader string
	Throttle            throttle.Config
	Public              throttle.Config // of requests that need no key; IPv6Prefix is that of Throttle

	AdminTokenFile string

	// AcceptDrain lets everybody who reaches the admin address announce that the server will end.
	AcceptDrain bool

	EnvoyAccessLog bool // accept Envoy's access logs, to count bytes

	Sync  syncclient.Config
	Store store.Config

	// OTLPEndpoint is where spans are exported to, beside the environment variables of OpenTelemetry. Whoever exports them
	// sets the Provider of Tracing.
	OTLPEndpoint string
	Tracing      tracing.Config

	ShutdownDelay   time.Duration
	ShutdownTimeout time.Duration

	LogLevel slog.Level
	Version  bool // print it and exit
}

const (
	maxInstance = 253

	defaultTimeout = time.Minute

	defaultFailures   = 60
	defaultPublic     = 600
	defaultIPv6Prefix = 64
	bitsIPv6          = 128

	allow = "allow"
	deny  = "deny"
)

// Parse reads the arguments after the program's name. Its errors are one line, which names the flag and gives a hint, or
// flag.ErrHelp after the usage was written to usage.
func Parse(args []string, hostname string, usage io.Writer) (Config, error) {
	var c Config
	flags := flag.NewFlagSet("keyward-validator", flag.ContinueOnError)
	flags.SetOutput(io.Discard)

	c.addressFlags(flags)
	c.upstreamFlags(flags)
	c.Listeners.flags(flags)
	c.requestFlags(flags)
	c.keyFlags(flags)
	c.principalFlags(flags)
	c.syncFlags(flags, hostname)

	duration(flags, &c.ShutdownDelay, "shutdown-delay", 5*time.Second,
		"how `long` to continue to serve after SIGTERM, reporting not ready, until load balancers send no more requests (default 5s)")
	duration(flags, &c.ShutdownTimeout, "shutdown-timeout", 20*time.Second,
		"how `long` requests in flight may take after that (default 20s)")
	c.traceFlags(flags)
	flags.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	flags.BoolVar(&c.Version, "version", false, "print the version and exit")

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(usage, "Usage: keyward-validator [flags]")
			flags.SetOutput(usage)
			flags.PrintDefaults()
		}
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, errors.New("there are only flags, no arguments: look for a space that should be a '='")
	}
	c.Public.IPv6Prefix = c.Throttle.IPv6Prefix
	return c, c.check()
}

func (c *Config) addressFlags(flags *flag.FlagSet) {
	flags.StringVar(&c.ProxyAddress, "proxy-bind-address", ":8080", "`address` of the reverse proxy in front of --upstream")
	flags.StringVar(&c.HTTPAddress, "http-bind-address", ":8081", "`address` of /authz and the paths of its proxy profiles, "+
		"/v1/verify, /v1/key, /v1/authorizers/aws and, with --principal-key-file, /.well-known/keyward/jwks.json")
	flags.StringVar(&c.GRPCAddress, "grpc-bind-address", ":8082", "`address` of Envoy's external authorization")
	flags.StringVar(&c.AdminAddress, "admin-bind-address", ":8083", "`address` of /healthz, /readyz, /metrics, /v1/decisions, /v1/check-origin and /v1/usage")
	flags.StringVar(&c.AdminTokenFile, "admin-token-file", "",
		"`file` with the token for /v1/decisions, /v1/check-origin and /v1/usage; without it no decisions are recorded, and usage is neither "+
			"accepted nor reported")
	flags.BoolVar(&c.AcceptDrain, "accept-drain", false,
		"accept GET /drain at --admin-bind-address, for the preStop hook of a sidecar, which ends after the content server: for five minutes, "+
			"clients are asked to close their connections after the response")
	flags.BoolVar(&c.EnvoyAccessLog, "envoy-access-log", false,
		"accept Envoy's gRPC access log at --grpc-bind-address, and count the bytes of each response to a request that this "+
			"server has allowed, once; "+
			"Envoy must send the log to the server that decides; by default no log is trusted")
}

func (c *Config) upstreamFlags(flags *flag.FlagSet) {
	flags.Func("upstream", "`URL` of the content server, such as http://127.0.0.1:9000, https:// or h2c://; without it there "+
		"is no reverse proxy", c.setUpstream)
	duration(flags, &c.Timeout, "upstream-timeout", defaultTimeout, "how `long` the upstream may take to begin its response; 0 "+
		"means forever (default 1m)")
	flags.StringVar(&c.Project, "project", "", "the `project` of all requests to the reverse proxy; without it routes decide")
	flags.BoolVar(&c.Stripping.KeepCredential, "keep-credential", false,
		"let content servers see the API key: whoever reads their logs or their memory can use it; by default it is removed")
	flags.Func("keep-override-headers", "`names`, separated by commas, of headers such as X-HTTP-Method-Override to pass on to "+
		"content servers: "+
		"they may then serve another request than the one that was decided on; by default all headers of this kind are removed",
		c.keepOverrides)
}

// requestFlags are about how requests are read, and whom they come from.
func (c *Config) requestFlags(flags *flag.FlagSet) {
	flags.Func("path-parameters", "deny: respond with 400 if a segment of the path has a ';', or ends in '.' or a space, which "+
		"some content servers cut off (default); "+
		"allow: accept them literally, because the content servers do", c.setPathParameters)
	flags.BoolVar(&c.Reading.IgnoreCase, "ignore-path-case", false,
		"ignore case when comparing paths with routes, because the content servers do; the response to names such as REPORT~1 is 400 then")

	flags.Func("trusted-proxies", "`CIDRs`, separated by commas, of proxies that report the client's address; repeatable; "+
		"without it no proxy is trusted", c.addTrustedProxies)
	c.ClientAddressHeader = clientaddr.HeaderXForwardedFor
	flags.Func("client-address-header", "`name` of the header in which trusted proxies list addresses: X-Forwarded-For "+
		"(default) or Forwarded", c.setClientAddressHeader)
	flags.IntVar(&c.Throttle.Failures, "max-failures-per-minute", defaultFailures,
		"how `many` requests of one client address may fail in a minute; the response to further failures is 429; 0 is any number")
	flags.IntVar(&c.Public.Failures, "max-public-requests-per-minute", defaultPublic,
		"how `many` requests of one client address for public paths, which need no key, are allowed in a minute; the response to further "+
			"ones is 429; clients whose address is not known share it, those of each Group apart; 0 is any number")
	flags.IntVar(&c.Throttle.IPv6Prefix, "throttle-ipv6-prefix", defaultIPv6Prefix, "`bits` of an IPv6 address that identify a client")
}

// syncFlags are about the manager, and what is stored of its data.
func (c *Config) syncFlags(flags *flag.FlagSet, hostname string) {
	flags.StringVar(&c.Sync.Address, "sync-address", "dns:///keyward-sync.keyward-system.svc:9444", "gRPC `target` of the manager")
	flags.StringVar(&c.Sync.ServerName, "sync-server-name", "keyward-sync.keyward-system.svc", "`name` in the manager's certificate")
	flags.StringVar(&c.Sync.CAFile, "sync-ca-file", "/var/run/keyward/ca/ca.crt",
		"PEM `file` with the authority of the manager's certificate")
	flags.StringVar(&c.Sync.TokenFile, "sync-token-file", "/var/run/secrets/keyward/token",
		"`file` with a ServiceAccount token with the audience keyward.dev/sync")
	flags.StringVar(&c.Sync.Instance, "instance", hostname, "`name` of this server in status and events")
	flags.Func("group", "`namespace/name` of a group to validate for; repeatable; without --group and --namespace: every group "+
		"that the token may validate", c.addGroup)
	flags.Func("namespace", "`namespace` of groups to validate for; repeatable", c.addNamespace)

	duration(flags, &c.Sync.UsageInterval, "usage-interval", 10*time.Second,
		"how `often` to report usage to the manager, at least 1s (default 10s)")
	duration(flags, &c.Sync.UsageTimeout, "usage-timeout", 30*time.Second,
		"how `long` to wait after SIGTERM, when all requests are finished, for the manager to record the usage; a leader that crashed "+
			"is replaced after about 20s, and later with very many keys (default 30s)")
	flags.StringVar(&c.Store.Dir, "snapshot-dir", "",
		"`directory` in which the snapshot survives restarts; it contains no keys, but digests, the secret of imported ones, and the secrets of "+
			"keys that sign URLs")
	duration(flags, &c.Store.MaxStaleness, "max-staleness", 0, "how `long` without the manager until --on-stale applies; 0 "+
		"means forever (default)")
	flags.Func("on-stale", "allow: continue to decide with the last snapshot (default); deny: respond with 503", c.setOnStale)
}

func (c *Config) check() error {
	for name, address := range map[string]string{
		"proxy-bind-address": c.ProxyAddress, "http-bind-address": c.HTTPAddress,
		"grpc-bind-address": c.GRPCAddress, "admin-bind-address": c.AdminAddress,
	} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("--%s: %q is not an address: write one such as :8081 or 127.0.0.1:8081", name, address)
		}
	}
	switch {
	case c.Sync.Instance == "" || len(c.Sync.Instance) > maxInstance || strings.ContainsFunc(c.Sync.Instance, isInvalidInInstance):
		return fmt.Errorf("--instance: give a name of 1 to %d letters, digits and -._:/, such as the name of the pod", maxInstance)
	case c.Throttle.Failures < 0:
		return errors.New("--max-failures-per-minute: write a number such as 60, or 0 for any")
	case c.Public.Failures < 0:
		return errors.New("--max-public-requests-per-minute: write a number such as 600, or 0 for any")
	case c.Throttle.IPv6Prefix < 1 || c.Throttle.IPv6Prefix > bitsIPv6:
		return fmt.Errorf("--throttle-ipv6-prefix: write a number of bits from 1 to %d, such as 64", bitsIPv6)
	case c.Sync.Address == "":
		return errors.New("--sync-address: give the address of the manager, such as dns:///keyward-sync.keyward-system.svc:9444")
	case c.Sync.UsageInterval < time.Second:
		return errors.New("--usage-interval: write at least 1s, such as 10s")
	case c.Listeners.ProxyProtocol && (c.Upstream == nil || len(c.TrustedProxies) == 0):
		return errors.New("--proxy-protocol: it is for the reverse proxy; give --upstream, and with --trusted-proxies the " +
			"addresses of the load balancers that use the protocol")
	case c.Project != "" && c.Upstream == nil:
		return errors.New("--project: it is for the reverse proxy; give --upstream too, or name the project in the " +
			"configuration of the other integrations")
	case c.Store.DenyStale && c.Store.MaxStaleness == 0:
		return errors.New("--on-stale=deny: give the time with --max-staleness, such as --max-staleness=1h")
	case !(c.Tracing.Ratio >= 0 && c.Tracing.Ratio <= 1):
		return errors.New("--trace-sample-ratio: write a number from 0 to 1, such as 0.01 for one trace in a hundred")
	default:
		return cmp.Or(c.checkPrincipal(), c.Listeners.check())
	}
}
