package e2e

import (
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/hack/ports"
)

// redis is a running redis-server that loses nothing when it is killed.
type redis struct {
	*process

	t       testing.TB
	address string
	dir     string
}

// startRedis skips the test if there is no redis-server.
func startRedis(t testing.TB) *redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed; see hack/install-gateways.sh")
	}
	c := theCluster(t) // whose directory the log is in
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	r := &redis{t: t, address: address, dir: t.TempDir()}
	r.start(c.path("logs"))
	t.Cleanup(func() { r.kill() })
	return r
}

func (r *redis) start(logs string) {
	_, port, err := net.SplitHostPort(r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.process, err = startProcess(logs, "redis", nil, "redis-server", "--bind", "127.0.0.1", "--port", port,
		"--dir", r.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "redis", patience, func() error {
		if r.hasEnded() {
			return r.complaint()
		}
		conn, err := net.DialTimeout("tcp", r.address, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

func (r *redis) url() string { return "redis://" + r.address + "/0" }

// restart kills it and starts it again with its data on disk.
func (r *redis) restart() {
	r.kill()
	r.start(theCluster(r.t).path("logs"))
}
