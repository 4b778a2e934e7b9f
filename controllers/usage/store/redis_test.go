package store_test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestRedisURL: what would be ignored is refused, and no error shows a password.
func TestRedisURL(t *testing.T) {
	for url, taken := range map[string]bool{
		"redis://host": true, "redis://host:6379": true, "redis://host:6379/": true, "redis://host:6379/15": true,
		"rediss://user:secret@host:6380/1": true, "redis://:secret@[::1]:6379/0": true,
		"": false, "host:6379": false, "http://host": false, "redis:host": false, "redis://": false, "redis://:secret@:6379/0": false,
		"redis://user:secret@:x:y/0": false, "redis://user:secret@host/name": false, "redis://user:secret@host/0?skip_verify=true": false,
		"redis://user:secret@host/0#1": false, "redis://user:secret@host/1234567": false, "unix://user:secret@/redis.sock": false,
	} {
		s, err := store.OpenRedis(url, "test:", clock.RealClock{})
		if (err == nil) != taken {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
}

// TestRedisIsDisconnected: without Redis an attempt fails soon, and when it is back, the next one succeeds: no connection of before is used.
func TestRedisIsDisconnected(t *testing.T) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed; see hack/install-gateways.sh")
	}
	address := startRedis(t, t.TempDir())
	host, port, _ := net.SplitHostPort(address)
	s, err := store.OpenRedis("redis://"+address, "test:", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	key := store.Key{Group: "default/acme", Month: this}
	entry := load(t, s, key)
	entry.Ledger.Servers["a"] = quotaledger.Counters{Requests: 1}
	if entry.Version, err = s.Save(t.Context(), key, entry, store.Totals{}); err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), "redis-cli", "-h", host, "-p", port, "shutdown", "nosave").Run(); err != nil {
		t.Fatal(err)
	}
	for _, attempt := range []func() error{
		func() error { _, err := s.Load(t.Context(), key); return err },
		func() error { _, err := s.Save(t.Context(), key, entry, store.Totals{}); return err },
	} {
		if err := attempt(); err == nil || !strings.Contains(err.Error(), "Redis") {
			t.Errorf("without Redis: %v", err)
		}
	}
	again := exec.CommandContext(context.WithoutCancel(t.Context()), program, "--bind", host, "--port", port, "--dir", t.TempDir(), "--save", "")
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = again.Process.Kill()
		_ = again.Wait()
	}()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if entry, err := s.Load(t.Context(), key); err != nil || len(entry.Ledger.Servers) > 0 {
		t.Errorf("when it is back, without data: %+v, %v", entry, err)
	}
}

// TestRedisConnectionsAreTried: connections that Redis has closed are not used.
func TestRedisConnectionsAreTried(t *testing.T) {
	address := startRedis(t, t.TempDir())
	host, port, _ := net.SplitHostPort(address)
	s, err := store.OpenRedis("redis://"+address+"/0", "test:", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for range 3 {
		load(t, s, store.Key{Group: "default/acme", Month: this})
		if err := exec.CommandContext(t.Context(), "redis-cli", "-h", host, "-p", port, "client", "kill", "type", "normal").Run(); err != nil {
			t.Fatal(err)
		}
	}
}
