// Package servingcert provides the manager's TLS certificate: the leader issues and renews it in a Secret, and writes its
// authorities into the webhook configurations; the kubelet mounts the Secret, and the webhook server and the sync server read
// the certificate from there. Or somebody else mounts and renews the files, such as cert-manager.
package servingcert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Names of objects in config/.
const (
	SecretName       = "keyward-certs"
	webhookService   = "keyward-webhook"
	syncService      = "keyward-sync"
	mutatingConfig   = "keyward-mutating"
	validatingConfig = "keyward-validating"
)

// mountInterval is how often Start checks for the mounted files.
const mountInterval = 200 * time.Millisecond

// Certificate is the mounted certificate. watcher is nil until it is mounted, and is set once: by Start, before it starts the
// watcher. Get may be called at any time.
type Certificate struct {
	dir     string
	watcher atomic.Pointer[certwatcher.CertWatcher]
}

// Names are the names in the certificate: of the Services of webhooks and of the sync port.
func Names(namespace string) []string {
	return []string{fmt.Sprintf("%s.%s.svc", webhookService, namespace), fmt.Sprintf("%s.%s.svc", syncService, namespace)}
}

// Add has the manager serve with the certificate in the directory, where its Secret is mounted.
func Add(mgr manager.Manager, dir string) (*Certificate, error) {
	c := &Certificate{dir: dir}
	if err := mgr.Add(c); err != nil {
		return nil, fmt.Errorf("adding the serving certificate: %w", err)
	}
	return c, nil
}

// NeedLeaderElection is false: every replica serves webhooks.
func (c *Certificate) NeedLeaderElection() bool { return false }

// Start waits until the certificate is mounted, and reloads it when it changes.
func (c *Certificate) Start(ctx context.Context) error {
	mounted := func(context.Context) (bool, error) { return c.read(), nil }
	collector.certificate.Store(c)
	defer collector.certificate.CompareAndSwap(c, nil)
	_ = wait.PollUntilContextCancel(ctx, mountInterval, true, mounted)
	watcher := c.watcher.Load()
	if watcher == nil {
		return nil // the manager stops
	}
	return watcher.Start(ctx)
}

// read reports whether both files exist and belong together.
func (c *Certificate) read() bool {
	watcher, err := certwatcher.New(filepath.Join(c.dir, "tls.crt"), filepath.Join(c.dir, "tls.key"))
	if err == nil {
		c.watcher.Store(watcher)
	}
	return err == nil
}

var errNotMounted = errors.New("the serving certificate is not mounted yet")

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	watcher := c.watcher.Load()
	if watcher == nil {
		return nil, errNotMounted
	}
	return watcher.GetCertificate(hello)
}
