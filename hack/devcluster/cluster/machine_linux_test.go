package cluster_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/keyward-dev/keyward/hack/devcluster/cluster"
)

// TestFreePort finds only ports that no outgoing connection takes before the component listens.
func TestFreePort(t *testing.T) {
	const rangeFile = "/proc/sys/net/ipv4/ip_local_port_range"
	data, err := os.ReadFile(rangeFile)
	if err != nil {
		t.Fatal(err)
	}
	var first, last int
	if _, err := fmt.Sscan(string(data), &first, &last); err != nil {
		t.Fatalf("%s: %v", rangeFile, err)
	}
	if first < 30_000 {
		t.Skipf("this machine takes ports for outgoing connections from %d", first)
	}
	for range 20 {
		port, err := cluster.FreePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if port >= first && port <= last {
			t.Fatalf("port %d is also one for outgoing connections, %d to %d", port, first, last)
		}
	}
}
