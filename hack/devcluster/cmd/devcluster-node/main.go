// Command devcluster-node has what "devcluster up --node" needs beyond the control plane of devcluster: kubelet, kube-proxy,
// kube-scheduler and the complete kube-controller-manager. It is a program of its own because most tests need no node.
package main

import (
	"context"
	"fmt"
	"os"
	_ "time/tzdata" // CronJobs know time zones on machines without zone files

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as in the released binaries
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// components are the real programs. Their commands are made when they are called: making one registers flags that another
// must not see.
var components = map[string]func() *cobra.Command{
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	if len(os.Args) > 1 {
		if command, ok := components[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			os.Exit(cli.Run(command()))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: devcluster-node kubelet|kube-proxy|kube-scheduler|kube-controller-manager [flags]")
	os.Exit(2)
}
