// Package cluster runs a development control plane: etcd, kube-apiserver and kube-controller-manager
// as child processes, reachable on 127.0.0.1 only.
package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keyward-dev/keyward/hack/devcluster/pki"
)

// startTimeout bounds the start of the cluster. A loaded machine with two cores needs a fraction of it.
const startTimeout = 3 * time.Minute

// Options say where a cluster keeps its files.
type Options struct {
	// Executable is the devcluster binary; the components are started from it.
	Executable string
	// DataDir keeps etcd's data, certificates and logs across restarts.
	DataDir string
	// Kubeconfig is where the admin's kubeconfig is written.
	Kubeconfig string
	// Port of the API server. Zero means the port of the last run when it is free, else any.
	Port int
	// Verbosity is the log level of the Kubernetes components.
	Verbosity int
}

// Run starts the cluster, calls ready with the API server's URL, and waits until ctx is done. Then it stops what it started,
// in reverse order. It returns an error if the cluster does not become ready, or if a component ends without being stopped.
//
// On Linux the components are killed when the calling thread ends, so the caller locks its goroutine to a thread that does
// not end.
func Run(ctx context.Context, opts Options, ready func(server string)) (err error) {
	// The components run in their own process groups and get absolute paths.
	if opts.DataDir, err = filepath.Abs(opts.DataDir); err != nil {
		return fmt.Errorf("resolve the data directory: %w", err)
	}
	if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	unlock, err := lock(filepath.Join(opts.DataDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()

	plan, err := newPlan(ctx, opts)
	if err != nil {
		return err
	}
	group := &processes{executable: opts.Executable, logs: filepath.Join(opts.DataDir, "logs"),
		exited: make(chan exit, len(plan.components()))}
	defer func() {
		if err != nil {
			group.stop(failTimeout)
		} else {
			group.stop(stopTimeout)
		}
	}()

	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := start(starting, group, plan); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting: that is no failure
		}
		return err
	}
	if err := writeKubeconfig(opts.Kubeconfig, plan.server(), plan.authority.Cert(), plan.admin, embedded); err != nil {
		return err
	}
	ready(plan.server())

	select {
	case <-ctx.Done():
		return nil
	case exit := <-group.exited:
		return exit.err()
	}
}

// start starts the components in order and returns when the cluster can be used. The controller manager is the last one,
// because it exits if there is no API server yet.
func start(ctx context.Context, group *processes, plan *plan) error {
	probe, err := newProbe(plan.server(), plan.authority.Cert(), plan.admin)
	if err != nil {
		return err
	}
	if err := group.start("etcd", plan.etcd()); err != nil {
		return err
	}
	if err := group.start("kube-apiserver", plan.apiserver()); err != nil {
		return err
	}
	if err := group.await(ctx, "the API server's /readyz", probe.get("/readyz")); err != nil {
		return err
	}
	if err := group.start("kube-controller-manager", plan.controllerManager()); err != nil {
		return err
	}
	// The first thing that any workload needs, and proof that the controllers work.
	return group.await(ctx, "the default ServiceAccount", probe.get("/api/v1/namespaces/default/serviceaccounts/default"))
}

// newPlan issues the certificates and chooses the ports.
func newPlan(ctx context.Context, opts Options) (*plan, error) {
	authority, err := pki.Open(filepath.Join(opts.DataDir, "pki"), time.Now)
	if err != nil {
		return nil, err
	}
	p := &plan{dir: opts.DataDir, authority: authority, verbosity: opts.Verbosity}
	for _, certificate := range []struct {
		into    *pki.Files
		name    string
		request pki.Request
	}{
		{&p.etcdServing, "etcd", pki.Request{CommonName: "etcd", Hosts: []string{"127.0.0.1"}}},
		{&p.etcdClient, "etcd-client", pki.Request{CommonName: "kube-apiserver"}},
		{&p.serving, "kube-apiserver", pki.Request{CommonName: "kube-apiserver", Hosts: []string{
			"127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}}},
		{&p.manager, "kube-controller-manager", pki.Request{CommonName: "system:kube-controller-manager"}},
		{&p.admin, "admin", pki.Request{CommonName: "admin", Organizations: []string{"system:masters"}}},
	} {
		if *certificate.into, err = authority.Issue(certificate.name, certificate.request); err != nil {
			return nil, err
		}
	}
	if p.tokenKey, err = authority.SigningKey("service-account"); err != nil {
		return nil, err
	}
	if p.port, err = keptPort(ctx, filepath.Join(opts.DataDir, "port"), opts.Port); err != nil {
		return nil, err
	}
	if p.etcdPort, err = freePort(ctx); err != nil {
		return nil, err
	}
	p.managerKubeconfig = filepath.Join(opts.DataDir, "kube-controller-manager.kubeconfig")
	return p, writeKubeconfig(p.managerKubeconfig, p.server(), authority.Cert(), p.manager, referenced)
}
