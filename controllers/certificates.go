package controllers

import (
	"fmt"
	"slices"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/servingcert"
	"github.com/keyward-dev/keyward/controllers/trust"
)

// addCertificate adds the serving certificate, who issues it, and the publication of its authorities.
func addCertificate(mgr ctrl.Manager, options Options) (*servingcert.Certificate, error) {
	dir := ""
	if options.CAFile != "" {
		dir = options.CertDir
	}
	certificate, err := servingcert.Add(mgr, dir)
	if err != nil {
		return nil, err
	}
	publisher, err := trust.Add(mgr, trust.Options{
		Namespace: options.Namespace, Recorder: conditions.Clipped(mgr.GetEventRecorder("keyward")), Clock: clock.RealClock{},
		Watches: func(namespace string) bool {
			return len(options.WatchNamespaces) == 0 || namespace == options.Namespace || slices.Contains(options.WatchNamespaces, namespace)
		},
	})
	if err != nil {
		return nil, err
	}
	if options.CAFile == "" {
		policy := servingcert.DefaultPolicy(options.AuthorityOverlap)
		return certificate, servingcert.AddRotator(mgr, certificate, options.Namespace, policy, publisher, clock.RealClock{})
	}
	err = mgr.Add(&servingcert.Mounted{
		File: options.CAFile, Reader: mgr.GetAPIReader(), Client: mgr.GetClient(), Publisher: publisher, Namespace: options.Namespace,
		Clock: clock.RealClock{},
	})
	if err != nil {
		return nil, fmt.Errorf("adding the authorities of the certificate: %w", err)
	}
	return certificate, nil
}
