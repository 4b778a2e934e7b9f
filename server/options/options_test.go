package options

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	c, err := Parse(nil, "pod-0", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Sync.Instance != "pod-0" || c.Upstream != nil || c.HTTPAddress != ":8081" || c.LogLevel != slog.LevelInfo || c.Store.DenyStale || c.Store.Dir != "" {
		t.Errorf("got %+v", c)
	}
}

func TestFlags(t *testing.T) {
	c, err := Parse([]string{
		"--upstream=http://127.0.0.1:9000/", "--project=marketing", "--keep-credential", "--group=a/b", "--group=c/d", "--namespace=e",
		"--max-staleness=1h", "--on-stale=deny", "--log-level=debug", "--snapshot-dir=/x", "--shutdown-delay=0s",
	}, "pod-0", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Upstream.String() != "http://127.0.0.1:9000" || c.Project != "marketing" || !c.KeepCredential || len(c.Sync.Groups) != 2 ||
		len(c.Sync.Namespaces) != 1 || c.Store.MaxStaleness != time.Hour || !c.Store.DenyStale || c.LogLevel != slog.LevelDebug {
		t.Errorf("got %+v", c)
	}
}

func TestErrorsNameFlagAndRemedy(t *testing.T) {
	for _, c := range []struct{ args, flag, remedy string }{
		{"--upstream=localhost:9000", "upstream", "http://127.0.0.1:9000"},
		{"--upstream=http://h/base", "upstream", "leave out everything"},
		{"--upstream=http://u:p@h", "upstream", "leave out everything"},
		{"--group=acme", "group", "namespace/name"},
		{"--namespace=a/b", "namespace", "one namespace"},
		{"--on-stale=maybe", "on-stale", "allow or deny"},
		{"--on-stale=deny", "on-stale", "--max-staleness"},
		{"--max-staleness=1", "max-staleness", "duration"},
		{"--max-staleness=-1s", "max-staleness", "duration"},
		{"--http-bind-address=8081", "http-bind-address", ":8081"},
		{"--instance=", "instance", "name of the pod"},
		{"--sync-address=", "sync-address", "dns:///"},
		{"--project=marketing", "project", "--upstream"},
		{"--log-level=loud", "log-level", "level"},
		{"--nope", "nope", "not defined"},
		{"--upstream http://h:1 extra", "", "no arguments"},
	} {
		_, err := Parse(strings.Fields(c.args), "pod-0", io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.flag) || !strings.Contains(err.Error(), c.remedy) || strings.Contains(err.Error(), "\n") {
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
