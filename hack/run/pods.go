package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/hack/run/mounts"
	"github.com/keyward-dev/keyward/hack/run/processes"
)

const (
	systemNamespace = "keyward-system"
	certificates    = "keyward-certs"
	caFile          = "ca.crt"

	// podGrace is terminationGracePeriodSeconds of both Deployments, rounded up.
	podGrace = time.Minute
)

// startManager starts the manager with the files and flags of its Deployment, except that it only listens on this machine.
func (r *runner) startManager(ctx context.Context) error {
	token := mounts.Token{Namespace: systemNamespace, ServiceAccount: "keyward-manager", Dir: r.local("manager", "serviceaccount")}
	if err := token.Project(ctx, r.core, r.fail); err != nil {
		return err
	}
	kubeconfig := r.local("manager", "kubeconfig")
	if err := mounts.WriteKubeconfig(kubeconfig, r.cluster, token.Path()); err != nil {
		return err
	}
	ca := mounts.SecretVolume{Dir: r.local("validator", "ca"), Items: []string{caFile}}
	r.certificates = mounts.Mirror(ctx, r.core, systemNamespace, certificates, []mounts.SecretVolume{ca}, r.fail)
	err := r.programs.Start(processes.Program{
		Name: "manager",
		Command: []string{
			r.bin("keyward-manager"),
			"--kubeconfig=" + kubeconfig,
			"--config=" + filepath.Join(r.root, "config/manager/manager.yaml"),
			"--webhook-bind-address=" + localAddress(webhookPort),
			"--sync-bind-address=" + localAddress(syncPort),
			"--metrics-bind-address=" + localAddress(metricsPort),
			"--health-probe-bind-address=" + localAddress(healthPort),
		},
		Grace: podGrace,
	})
	if err != nil {
		return err
	}
	if err := r.out.await(ctx, "the manager", startTimeout, answers(localURL(healthPort)+"/readyz")); err != nil {
		return err
	}
	// A manager that was killed keeps the lease for some seconds.
	if err := r.out.await(ctx, "the manager to lead (after a crash, the lease of the last one has to expire: up to 15 s)",
		startTimeout, listens(localAddress(syncPort))); err != nil {
		return err
	}
	r.out.line("the manager is up and leads, webhooks on")
	return nil
}

// startValidator starts the validator with the files and flags of its Deployment. All it knows about the cluster is where
// the manager is, which authority to trust, and its own identity.
func (r *runner) startValidator(ctx context.Context) error {
	err := r.out.await(ctx, "the manager's certificates", startTimeout, func(context.Context) error {
		select {
		case <-r.certificates:
			return nil
		default:
			return errors.New("the manager has not completed Secret " + systemNamespace + "/" + certificates)
		}
	})
	if err != nil {
		return err
	}
	token := mounts.Token{
		Namespace: systemNamespace, ServiceAccount: "keyward-validator", Audience: v1alpha1.SyncAudience,
		Dir: r.local("validator", "token"),
	}
	if err := token.Project(ctx, r.core, r.fail); err != nil {
		return err
	}
	adminToken, err := r.projectAdminToken(ctx)
	if err != nil {
		return err
	}
	err = r.programs.Start(processes.Program{
		Name: "validator",
		Command: []string{
			r.bin("keyward-validator"),
			"--instance=local",
			"--sync-address=" + localAddress(syncPort), // there is no DNS to find the leader with
			"--sync-server-name=keyward-sync." + systemNamespace + ".svc",
			"--sync-ca-file=" + r.local("validator", "ca", caFile),
			"--sync-token-file=" + token.Path(),
			"--snapshot-dir=" + r.local("validator", "snapshot"),
			"--shutdown-delay=0s", // there is no load balancer that has to notice it first
			"--upstream=" + localURL(r.contentPort),
			"--proxy-bind-address=" + localAddress(proxyPort),
			"--http-bind-address=" + localAddress(httpPort),
			"--grpc-bind-address=" + localAddress(grpcPort),
			"--admin-bind-address=" + localAddress(adminPort),
			"--admin-token-file=" + adminToken,
		},
		Grace: podGrace,
	})
	if err != nil {
		return err
	}
	if err := r.out.await(ctx, "the validator", startTimeout, answers(localURL(adminPort)+"/readyz")); err != nil {
		return err
	}
	r.out.line("the validator is up, in front of the sample content")
	return nil
}
