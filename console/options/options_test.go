package options_test

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/options"
)

func none(string) string { return "" }

func TestParse(t *testing.T) {
	t.Parallel()
	good := []string{"--keys-dir=/keys", "--origin=https://console.example", "--behind-proxy", "--api-server=https://10.0.0.1"}
	for _, one := range []struct {
		change []string
		says   string
	}{
		{nil, ""},
		{[]string{"--behind-proxy=false", "--tls-cert=c", "--tls-key=k"}, ""},
		{[]string{"--origin=https://console.example:8443", "--trusted-proxy=10.0.0.0/8", "--trusted-proxy=::1/128"}, ""},
		{[]string{"--keys-dir="}, "--keys-dir is required"},
		{[]string{"--origin=http://console.example"}, "--origin"},
		{[]string{"--origin=https://console.example/"}, "--origin"},
		{[]string{"--origin="}, "--origin"},
		{[]string{"--api-server=http://10.0.0.1"}, "--api-server"},
		{[]string{"--behind-proxy=false"}, "--tls-cert and --tls-key are required"},
		{[]string{"--tls-cert=c", "--tls-key=k"}, "--behind-proxy serves plain HTTP"},
		{[]string{"--tls-cert=c"}, "belong together"},
		{[]string{"--trusted-proxy=10.0.0.1"}, "write a prefix"},
		{[]string{"--namespace=a", "--namespace=b"}, ""},
		{[]string{"--namespace=A"}, "write the name of a namespace"},
		{[]string{"--revocations=keyward-system/keyward-console-revocations"}, ""},
		{[]string{"--revocations="}, ""},
		{[]string{"--revocations=keyward-console-revocations"}, "write a namespace and the name"},
		{[]string{"--revocations=a/b/c"}, "write a namespace and the name"},
		{[]string{"--revocations=a/b", "--token-file="}, "--token-file"},
		{[]string{"--most-requests=-1"}, "--most-requests"},
		{[]string{"argument"}, "only flags"},
	} {
		_, err := options.Parse(append(append([]string{}, good...), one.change...), none, io.Discard)
		if one.says == "" && err != nil || one.says != "" && (err == nil || !strings.Contains(err.Error(), one.says)) {
			t.Errorf("%q: %v", one.change, err)
		}
	}
	inPod, err := options.Parse(good[:3], func(name string) string {
		return map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}[name]
	}, io.Discard)
	if err != nil || inPod.APIServer != "https://[fd00::1]:6443" {
		t.Errorf("%v, %q", err, inPod.APIServer)
	}
	if with, err := options.Parse(append(good, "--config=/console.yaml"), none, io.Discard); err != nil || with.File != "/console.yaml" {
		t.Errorf("%v, %q", err, with.File)
	}
	if with, err := options.Parse(append(good, "--revocations=a/b.c"), none, io.Discard); err != nil || with.RevocationsNamespace != "a" ||
		with.Revocations != "b.c" || !strings.HasPrefix(with.TokenFile, "/var/run/secrets/") {
		t.Errorf("%v, %+v", err, with)
	}
	var help strings.Builder
	if _, err := options.Parse([]string{"--help"}, none, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-keys-dir") {
		t.Errorf("%v: %s", err, help.String())
	}
}
