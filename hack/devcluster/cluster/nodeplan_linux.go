package cluster

import (
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/keyward-dev/keyward/hack/devcluster/node"
	"github.com/keyward-dev/keyward/hack/devcluster/pki"
)

const (
	apiServerPort    = 6443
	apiServerInside  = "127.0.0.1:6443"
	containerdSocket = "/run/containerd/containerd.sock"
	pauseImage       = "localhost/devcluster/pause:dev"
	dnsImage         = "localhost/devcluster/coredns:dev"
)

//go:embed nodefiles
var nodeFiles embed.FS

// nodePlan has everything that the components of a cluster with a node are made of.
type nodePlan struct {
	*plan
	options NodeOptions
	cgroup  string

	kubeletServing, kubeletClient pki.Files
}

// newNodePlan issues the certificates that a node needs in addition, and writes the files that components read.
func newNodePlan(plan *plan, options NodeOptions, cgroup string) (*nodePlan, error) {
	p := &nodePlan{plan: plan, options: options, cgroup: cgroup}
	var scheduler, proxy, kubelet pki.Files
	var err error
	for _, certificate := range []struct {
		into    *pki.Files
		name    string
		request pki.Request
	}{
		// The API server has an address for Pods, too.
		{&p.serving, "kube-apiserver-node", pki.Request{CommonName: "kube-apiserver", Hosts: []string{
			"127.0.0.1", node.IP, "10.96.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		}}},
		{&p.kubeletServing, "kubelet-serving", pki.Request{CommonName: node.Name, Hosts: []string{node.IP, node.Name}}},
		{&p.kubeletClient, "kubelet-client", pki.Request{CommonName: "kube-apiserver", Organizations: []string{"system:masters"}}},
		{&kubelet, "kubelet", pki.Request{CommonName: "system:node:" + node.Name, Organizations: []string{"system:nodes"}}},
		{&scheduler, "kube-scheduler", pki.Request{CommonName: "system:kube-scheduler"}},
		{&proxy, "kube-proxy", pki.Request{CommonName: "system:kube-proxy"}},
	} {
		if *certificate.into, err = p.authority.Issue(certificate.name, certificate.request); err != nil {
			return nil, err
		}
	}
	for name, client := range map[string]pki.Files{
		"kubelet": kubelet, "kube-scheduler": scheduler, "kube-proxy": proxy, "admin": p.admin, "kube-controller-manager": p.manager,
	} {
		if err := writeKubeconfig(p.kubeconfig(name), p.server(), p.authority.Cert(), client, referenced); err != nil {
			return nil, err
		}
	}
	return p, p.writeFiles()
}

func (p *nodePlan) kubeconfig(name string) string { return filepath.Join(p.dir, name+".kubeconfig") }

// writeFiles fills in the files that are embedded.
func (p *nodePlan) writeFiles() error {
	snapshotter, err := node.Snapshotter(p.dir)
	if err != nil {
		return fmt.Errorf("find out how to store images: %w", err)
	}
	for _, dir := range []string{"cni", "kubelet", "containerd", "plugins", "logs/pods"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
			return err
		}
	}
	files, err := template.ParseFS(nodeFiles, "nodefiles/*")
	if err != nil {
		return err
	}
	values := map[string]any{
		"Dir": p.dir, "Socket": containerdSocket, "PauseImage": pauseImage, "DNSImage": dnsImage, "Snapshotter": snapshotter,
		"PluginDir": node.PluginDir(), "IP": node.IP, "PodNetwork": node.PodNetwork, "DNS": node.DNS, "Authority": p.authority.Cert(),
		"KubeletServing": p.kubeletServing, "Cgroup": p.cgroup, "Sync": p.options.Sync,
	}
	for name, path := range map[string]string{
		"containerd.toml": "containerd.toml", "pods.conflist": "cni/10-pods.conflist", "kubelet.yaml": "kubelet.yaml",
		"coredns.yaml": "coredns.yaml",
	} {
		var text strings.Builder
		if err := files.ExecuteTemplate(&text, name, values); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.dir, path), []byte(text.String()), 0o600); err != nil {
			return err
		}
	}
	// Pods that do not want the cluster's DNS have none.
	return os.WriteFile(filepath.Join(p.dir, "resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o600)
}

// apiserver is that of a cluster without a node, reachable for Pods, and with a kubelet to talk to.
func (p *nodePlan) apiserver() []string {
	changed := map[string]string{
		"--bind-address":             "0.0.0.0",
		"--advertise-address":        node.IP,
		"--endpoint-reconciler-type": "master-count",
		"--authorization-mode":       "Node,RBAC",
	}
	var args []string
	for _, arg := range p.plan.apiserver() {
		name, _, _ := strings.Cut(arg, "=")
		if value, ok := changed[name]; ok {
			arg = name + "=" + value
		}
		args = append(args, arg)
	}
	return append(append(args,
		"--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate="+p.kubeletClient.Cert,
		"--kubelet-client-key="+p.kubeletClient.Key,
		"--kubelet-certificate-authority="+p.authority.Cert(),
		"--kubelet-preferred-address-types=InternalIP",
	), p.options.APIServer...)
}

// controllerManager runs all controllers.
func (p *nodePlan) controllerManager() []string {
	return []string{
		"--kubeconfig=" + p.kubeconfig("kube-controller-manager"),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + p.tokenKey.Private,
		"--root-ca-file=" + p.authority.Cert(),
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		p.logLevel(),
	}
}

func (p *nodePlan) scheduler() []string {
	return []string{
		"--kubeconfig=" + p.kubeconfig("kube-scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false", p.logLevel(),
	}
}

func (p *nodePlan) kubelet() []string {
	return []string{
		"--config=" + filepath.Join(p.dir, "kubelet.yaml"),
		"--kubeconfig=" + p.kubeconfig("kubelet"),
		"--root-dir=" + filepath.Join(p.dir, "kubelet"),
		"--hostname-override=" + node.Name,
		"--node-ip=" + node.IP,
		p.logLevel(),
	}
}

func (p *nodePlan) proxy() []string {
	return []string{
		"--kubeconfig=" + p.kubeconfig("kube-proxy"),
		"--hostname-override=" + node.Name,
		"--proxy-mode=nftables",
		"--cluster-cidr=" + node.PodNetwork,
		"--oom-score-adj=0",
		// These belong to the whole machine.
		"--conntrack-max-per-core=0",
		"--conntrack-min=0",
		"--healthz-bind-address=" + net.JoinHostPort("127.0.0.1", "10256"),
		p.logLevel(),
	}
}
