// Command coredns is CoreDNS with the plugins that a development cluster needs. It resolves names of the cluster only: a test
// that asks for another name has an error at once, wherever it runs.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	// The order in which a request passes through them.
	dnsserver.Directives = []string{"errors", "health", "ready", "loadbalance", "cache", "kubernetes"}
	coremain.Run()
}
