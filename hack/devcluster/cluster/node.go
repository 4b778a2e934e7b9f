package cluster

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// NodeOptions say how a cluster with a node differs from one without.
type NodeOptions struct {
	// Programs is the directory with devcluster-node, coredns and pause.
	Programs string
	// Forwards are reachable on 127.0.0.1 of the host.
	Forwards []ForwardOption
	// Sync is how often the kubelet looks again at a Pod in which nothing has changed: files of Secrets are renewed then.
	Sync time.Duration
	// APIServer has further arguments of kube-apiserver.
	APIServer []string
}

// ForwardOption is a port of the host and the address inside that it leads to.
type ForwardOption struct {
	Port   string
	Target string
}

// ParseForward reads PORT=HOST:PORT.
func ParseForward(text string) (ForwardOption, error) {
	port, target, found := strings.Cut(text, "=")
	if found {
		_, _, err := net.SplitHostPort(target)
		found = err == nil
	}
	if !found || port == "" {
		return ForwardOption{}, fmt.Errorf("%q is not PORT=HOST:PORT, like 8080=keyward-validator.keyward-system.svc:8080", text)
	}
	return ForwardOption{Port: port, Target: target}, nil
}
