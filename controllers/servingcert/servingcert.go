// Package servingcert provides the manager's TLS certificate: the leader issues and renews it in a Secret, and writes its
// authorities into the webhook configurations; every replica watches the Secret, and serves webhooks and the sync port with what
// is in it. A mounted Secret would be a minute late, because a kubelet looks for the first version, and for a change, that seldom.
// Or somebody else issues and renews mounted files, such as cert-manager.
package servingcert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Names of objects in config/.
const (
	SecretName       = "keyward-certs"
	webhookService   = "keyward-webhook"
	syncService      = "keyward-sync"
	leaksService     = "keyward-leaks"
	usageService     = "keyward-usage"
	mutatingConfig   = "keyward-mutating"
	validatingConfig = "keyward-validating"
)

// mountInterval is how often Start checks for the mounted files.
const mountInterval = 200 * time.Millisecond

// Certificate is the serving certificate: of the Secret if dir is empty, or else of the files in dir. Only one of issued and
// watcher is ever set. issued is replaced with each version of the Secret. watcher is nil until the files are mounted, and is set
// once: by Start, before it starts the watcher. Get may be called at any time.
type Certificate struct {
	dir     string
	issued  atomic.Pointer[issued]
	watcher atomic.Pointer[certwatcher.CertWatcher]
}

// issued is what a version of the Secret has: the certificate with its key, and the authorities.
type issued struct {
	pair   tls.Certificate
	bundle []byte
}

// Names are the names in the certificate: of the Services of the ports that are served with it.
func Names(namespace string) (names []string) {
	for _, service := range []string{webhookService, syncService, leaksService, usageService} {
		names = append(names, fmt.Sprintf("%s.%s.svc", service, namespace))
	}
	return names
}

// Add has the manager serve with the certificate that is mounted in the directory, or without one with what AddRotator watches.
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
	defer collector.Set(c)()
	if c.dir == "" {
		<-ctx.Done()
		return nil
	}
	mounted := func(context.Context) (bool, error) { return c.read(), nil }
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

// replace takes what a version of the Secret has. If its certificate and key do not belong together, the earlier ones stay.
func (c *Certificate) replace(secret *corev1.Secret) error {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("reading the certificate in Secret %s: %w", secret.Name, err)
	}
	c.issued.Store(&issued{pair: pair, bundle: secret.Data[entryBundle]})
	return nil
}

// authorities returns the authorities beside the certificate, as PEM, or nothing if there are none yet.
func (c *Certificate) authorities() []byte {
	if issued := c.issued.Load(); issued != nil {
		return issued.bundle
	}
	if c.dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(c.dir, entryBundle))
	if err != nil {
		return nil
	}
	return text
}

var errNotReady = errors.New("the serving certificate is not issued, or not mounted, yet")

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if issued := c.issued.Load(); issued != nil {
		return &issued.pair, nil
	}
	if watcher := c.watcher.Load(); watcher != nil {
		return watcher.GetCertificate(hello)
	}
	return nil, errNotReady
}
