package cluster

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/keyward-dev/keyward/hack/devcluster/pki"
)

// issuer is what kubeadm clusters use, so tokens look the same here.
const issuer = "https://kubernetes.default.svc.cluster.local"

// plan has everything that the components' flags are made of.
type plan struct {
	dir       string
	authority *pki.Authority
	verbosity int

	port, etcdPort int

	etcdServing, etcdClient, serving, manager, admin pki.Files
	tokenKey                                         pki.KeyPair
	managerKubeconfig                                string
}

func (p *plan) server() string { return fmt.Sprintf("https://127.0.0.1:%d", p.port) }

func (p *plan) components() []string {
	return []string{"etcd", "kube-apiserver", "kube-controller-manager"}
}

func (p *plan) etcd() []string {
	client := fmt.Sprintf("https://127.0.0.1:%d", p.etcdPort)
	return []string{
		"--name=devcluster",
		"--data-dir=" + filepath.Join(p.dir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		// The only member of its cluster: the peer port is required but not used.
		"--listen-peer-urls=http://127.0.0.1:0",
		"--cert-file=" + p.etcdServing.Cert,
		"--key-file=" + p.etcdServing.Key,
		"--trusted-ca-file=" + p.authority.Cert(),
		"--client-cert-auth",
		// Survives kill -9 of everything; only a crash of the machine may lose the last writes.
		"--unsafe-no-fsync",
	}
}

func (p *plan) apiserver() []string {
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(p.port),
		"--advertise-address=127.0.0.1",
		// A loopback address is no valid endpoint of the Service "kubernetes"; nothing here needs one.
		"--endpoint-reconciler-type=none",
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", p.etcdPort),
		"--etcd-cafile=" + p.authority.Cert(),
		"--etcd-certfile=" + p.etcdClient.Cert,
		"--etcd-keyfile=" + p.etcdClient.Key,
		"--tls-cert-file=" + p.serving.Cert,
		"--tls-private-key-file=" + p.serving.Key,
		"--client-ca-file=" + p.authority.Cert(),
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + p.tokenKey.Public,
		"--service-account-signing-key-file=" + p.tokenKey.Private,
		"--api-audiences=" + issuer,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",
		"--profiling=false",
		p.logLevel(),
	}
}

func (p *plan) controllerManager() []string {
	return []string{
		"--kubeconfig=" + p.managerKubeconfig,
		"--service-account-private-key-file=" + p.tokenKey.Private,
		"--root-ca-file=" + p.authority.Cert(),
		p.logLevel(),
	}
}

func (p *plan) logLevel() string { return "--v=" + strconv.Itoa(p.verbosity) }
