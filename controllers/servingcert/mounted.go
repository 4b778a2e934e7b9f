package servingcert

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// fileInterval is how often a file of authorities is read.
const fileInterval = 10 * time.Second

// authoritiesSecret has the authorities that were published, where somebody else issues the certificate.
const authoritiesSecret = "keyward-authorities"

// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=create;patch
// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=get,resourceNames=keyward-authorities

// Mounted publishes the authorities in a file, where somebody else issues the certificate and renews the file. An authority that
// is no longer in the file stays published until it expires, because servers may still have certificates of it; a Secret keeps
// it. Only the leader does.
type Mounted struct {
	// File has the authorities in PEM.
	File      string
	Reader    client.Reader // past the cache
	Client    client.Client
	Publisher Publisher
	Namespace string
	Clock     clock.WithTicker
}

// NeedLeaderElection is true: one publishes for all.
func (m *Mounted) NeedLeaderElection() bool { return true }

// Start publishes until the context ends.
func (m *Mounted) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("servingcert")
	ticker := m.Clock.NewTicker(fileInterval)
	defer ticker.Stop()
	var last []byte
	for {
		text, err := os.ReadFile(m.File)
		if err == nil && !bytes.Equal(text, last) {
			if err = m.publish(ctx, text); err == nil {
				last = text
				log.Info("Published the authorities of a file", "file", m.File)
			}
		}
		if err != nil {
			log.Error(err, "Cannot publish the authorities of the manager's certificate; trying again", "file", m.File)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// publish adds the authorities of the text to those that were published and have not expired, and publishes all.
func (m *Mounted) publish(ctx context.Context, text []byte) error {
	bundle := parseBundle(text)
	if len(bundle) == 0 {
		return fmt.Errorf("%s has no certificate in PEM", m.File)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: authoritiesSecret,
		Labels: map[string]string{"app.kubernetes.io/name": "keyward", "app.kubernetes.io/component": "manager"},
	}}
	err := m.Reader.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("reading Secret %s: %w", authoritiesSecret, err)
	}
	now := m.Clock.Now()
	for _, cert := range parseBundle(secret.Data[entryBundle]) {
		if len(bundle) < trusted && validAt(cert, now) && !slices.ContainsFunc(bundle, cert.Equal) {
			bundle = append(bundle, cert)
		}
	}
	bundle = slices.DeleteFunc(bundle, func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
	published := encodeBundle(bundle)
	before := secret.DeepCopy()
	secret.Data = map[string][]byte{entryBundle: published}
	switch {
	case missing:
		err = m.Client.Create(ctx, secret)
	case bytes.Equal(before.Data[entryBundle], published):
		err = nil
	default:
		err = m.Client.Patch(ctx, secret, client.MergeFrom(before))
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", authoritiesSecret, err)
	}
	m.Publisher.Publish(published)
	return nil
}
