package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/routing"
)

func TestDefaults(t *testing.T) {
	c, err := Parse(nil, "pod-0", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Sync.Instance != "pod-0" || c.Upstream != nil || c.HTTPAddress != ":8081" || c.LogLevel != slog.LevelInfo ||
		c.Store.DenyStale || c.Store.Dir != "" ||
		c.Throttle.Failures != 60 || c.Throttle.IPv6Prefix != 64 || len(c.TrustedProxies) != 0 ||
		c.ClientAddressHeader != "X-Forwarded-For" || c.Reading != (routing.Reading{}) ||
		c.Listeners != (Listeners{FastPath: true, MaxHeaderBytes: 65536, ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout: 2 * time.Minute, MaxConnections: 4096}) {
		t.Errorf("got %+v", c)
	}
}

func TestFlags(t *testing.T) {
	c, err := Parse([]string{
		"--upstream=http://127.0.0.1:9000/", "--project=marketing", "--keep-credential",
		"--keep-override-headers=X-HTTP-Method-Override, x-original-url", "--keep-override-headers=X-Method-Override",
		"--group=a/b", "--group=c/d", "--namespace=e",
		"--max-staleness=1h", "--on-stale=deny", "--log-level=debug", "--snapshot-dir=/x", "--shutdown-delay=0s", "--upstream-timeout=5s",
		"--trusted-proxies=10.1.2.3/8, 192.0.2.0/24", "--trusted-proxies=2001:db8::/32", "--client-address-header=forwarded",
		"--max-failures-per-minute=0",
		"--path-parameters=allow", "--ignore-path-case", "--http-fast-path=false",
		"--key-query-parameter=token", "--key-query-parameter=api_key", "--key-header=ocp-apim-subscription-key", "--key-scheme=ApiKey",
	}, "pod-0", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(c.Keys) != "{[token api_key] [Ocp-Apim-Subscription-Key] [ApiKey]}" {
		t.Errorf("keys in %v", c.Keys)
	}
	if c.Timeout != 5*time.Second || c.Upstream.String() != "http://127.0.0.1:9000" || c.Project != "marketing" ||
		!c.Stripping.KeepCredential || fmt.Sprint(c.Stripping.KeepOverrides) != "[X-HTTP-Method-Override x-original-url "+
		"X-Method-Override]" || len(c.Sync.Groups) != 2 ||
		len(c.Sync.Namespaces) != 1 || c.Store.MaxStaleness != time.Hour || !c.Store.DenyStale || c.LogLevel != slog.LevelDebug ||
		fmt.Sprint(c.TrustedProxies) != "[10.0.0.0/8 192.0.2.0/24 2001:db8::/32]" || c.ClientAddressHeader != "Forwarded" ||
		c.Throttle.Failures != 0 ||
		c.Reading != (routing.Reading{Parameters: true, IgnoreCase: true}) || c.Listeners.FastPath {
		t.Errorf("got %+v", c)
	}
}

func TestErrorsNameFlagAndHint(t *testing.T) {
	for _, c := range []struct{ args, flag, hint string }{
		{"--upstream=localhost:9000", "upstream", "http://127.0.0.1:9000"},
		{"--key-query-parameter=", "key-query-parameter", "such as token"},
		{"--key-query-parameter=to[ken]", "key-query-parameter", "such as token"},
		{"--key-query-parameter=Keyward-Token", "key-query-parameter", "signed URLs"},
		{"--key-header=Cookie", "key-header", "Ocp-Apim-Subscription-Key"},
		{"--key-header=X-Keyward-Key", "key-header", "Ocp-Apim-Subscription-Key"},
		{"--key-header=Sec-WebSocket-Key", "key-header", "Ocp-Apim-Subscription-Key"},
		{"--key-header=X-Forwarded-For", "key-header", "Ocp-Apim-Subscription-Key"},
		{"--key-header=X_Key", "key-header", "Ocp-Apim-Subscription-Key"},
		{"--key-header=" + strings.Repeat("x", 33), "key-header", "Ocp-Apim-Subscription-Key"},
		{"--key-scheme=basic", "key-scheme", "such as ApiKey"},
		{"--key-scheme=Api_Key", "key-scheme", "such as ApiKey"},
		{"--upstream=http://h/base", "upstream", "leave out everything"},
		{"--upstream=http://u:p@h", "upstream", "leave out everything"},
		{"--upstream=ftp://h", "upstream", "http://127.0.0.1:9000"},
		{"--upstream-timeout=soon", "upstream-timeout", "duration"},
		{"--max-header-bytes=1", "max-header-bytes", "65536"},
		{"--max-header-bytes=2000000", "max-header-bytes", "65536"},
		{"--read-header-timeout=0s", "read-header-timeout", "10s"},
		{"--idle-timeout=0s", "idle-timeout", "2m"},
		{"--max-connections=-1", "max-connections", "0 for any"},
		{"--tls-cert-file=/x", "tls-cert-file", "--tls-key-file"},
		{"--tls-key-file=/x", "tls-cert-file", "--tls-key-file"},
		{"--proxy-protocol --trusted-proxies=10.0.0.0/8", "proxy-protocol", "--upstream"},
		{"--proxy-protocol --upstream=http://h:1", "proxy-protocol", "--trusted-proxies"},
		{"--group=acme", "group", "namespace/name"},
		{"--namespace=a/b", "namespace", "one namespace"},
		{"--path-parameters=yes", "path-parameters", "allow or deny"},
		{"--on-stale=maybe", "on-stale", "allow or deny"},
		{"--on-stale=deny", "on-stale", "--max-staleness"},
		{"--max-staleness=1", "max-staleness", "duration"},
		{"--max-staleness=-1s", "max-staleness", "duration"},
		{"--http-bind-address=8081", "http-bind-address", ":8081"},
		{"--instance=", "instance", "name of the pod"},
		{"--sync-address=", "sync-address", "dns:///"},
		{"--project=marketing", "project", "--upstream"},
		{"--trusted-proxies=10.0.0.1", "trusted-proxies", "10.0.0.0/8"},
		{"--trusted-proxies=10.0.0.0/8,", "trusted-proxies", "10.0.0.0/8"},
		{"--client-address-header=X-Real-IP", "client-address-header", "Forwarded"},
		{"--keep-override-headers=X-Forwarded-For", "keep-override-headers", "X-HTTP-Method-Override"},
		{"--keep-override-headers=X_HTTP_Method", "keep-override-headers", "X-HTTP-Method-Override"},
		{"--keep-override-headers=", "keep-override-headers", "X-HTTP-Method-Override"},
		{"--max-failures-per-minute=-1", "max-failures-per-minute", "0 for any"},
		{"--throttle-ipv6-prefix=0", "throttle-ipv6-prefix", "64"},
		{"--throttle-ipv6-prefix=129", "throttle-ipv6-prefix", "64"},
		{"--principal-issuer=", "principal-issuer", "such as https://"},
		{"--principal-audience=ümlaut", "principal-audience", "such as https://"},
		{"--principal-audience=" + strings.Repeat("x", 256), "principal-audience", "1 to 255"},
		{"--log-level=loud", "log-level", "level"},
		{"--nope", "nope", "not defined"},
		{"--upstream http://h:1 extra", "", "no arguments"},
	} {
		_, err := Parse(strings.Fields(c.args), "pod-0", io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.flag) || !strings.Contains(err.Error(), c.hint) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", c.args, err)
		}
	}
}

func TestHelp(t *testing.T) {
	var usage strings.Builder
	if _, err := Parse([]string{"-h"}, "pod-0", &usage); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(usage.String(), "-snapshot-dir directory") {
		t.Errorf("usage: %s", usage.String())
	}
}
