package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/hack/run/processes"
	"github.com/keyward-dev/keyward/internal/role"
)

const (
	// visitor is the ServiceAccount that signs in to the console: there is no identity provider.
	visitor = "console-visitor"
	// certificateFor is how long the certificate of the console is good. It is made again when less than a tenth is left.
	certificateFor = 365 * 24 * time.Hour
)

func consoleURL() string { return fmt.Sprintf("https://localhost:%d", consolePort) }

// startConsole starts the console with the flags of its Deployment, except that it only listens on this machine, with a certificate of its own.
func (r *runner) startConsole(ctx context.Context) error {
	for _, step := range []func() error{
		r.writeConsoleKeys, r.writeConsoleCertificate, r.writeAuthority,
		func() error { return r.createVisitor(ctx) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("prepare the console: %w", err)
		}
	}
	err := r.programs.Start(processes.Program{
		Name: "console",
		Command: []string{
			r.bin("keyward-console"),
			"--origin=" + consoleURL(),
			"--keys-dir=" + r.local("console", "keys"),
			"--tls-cert=" + r.local("console", "tls.crt"),
			"--tls-key=" + r.local("console", "tls.key"),
			"--api-server=" + r.cluster.Host,
			"--api-server-ca-file=" + r.local("console", caFile),
			"--allow-service-accounts",
			"--namespace=" + sampleNamespace,
			"--listen=" + localAddress(consolePort),
			"--health-listen=" + localAddress(consoleHealthPort),
			"--metrics-listen=",
		},
		Grace: podGrace,
	})
	if err != nil {
		return err
	}
	if err := r.out.await(ctx, "the console", startTimeout, answers(localURL(consoleHealthPort)+"/readyz")); err != nil {
		return err
	}
	r.out.line("the console is up at %s", consoleURL())
	return nil
}

// writeConsoleKeys makes the secret of cookies, unless an earlier run has.
func (r *runner) writeConsoleKeys() error {
	dir := r.local("console", "keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := keyring.Read(dir); err == nil {
		return nil
	}
	secret := make([]byte, keyring.Bytes)
	_, _ = rand.Read(secret) // never fails
	return os.WriteFile(r.local("console", "keys", time.Now().UTC().Format(keyring.Layout)), secret, 0o600)
}

// writeConsoleCertificate makes a certificate for localhost, unless that of an earlier run is good: browsers are asked to trust it.
func (r *runner) writeConsoleCertificate() error {
	certFile, keyFile := r.local("console", "tls.crt"), r.local("console", "tls.key")
	if good(certFile, time.Now().Add(certificateFor/10)) && good(keyFile, time.Time{}) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Keyward console of make run"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateFor),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
	)
}

// good reports whether a PEM file exists, and, if it is a certificate, is good until then.
func good(file string, until time.Time) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	if block.Type != "CERTIFICATE" {
		return true
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && cert.NotAfter.After(until)
}

// writeAuthority writes what the API server's certificate is from, as Pods have it.
func (r *runner) writeAuthority() error {
	authority := r.cluster.CAData
	if len(authority) == 0 {
		var err error
		if authority, err = os.ReadFile(r.cluster.CAFile); err != nil {
			return err
		}
	}
	return os.WriteFile(r.local("console", caFile), authority, 0o600)
}

// createVisitor makes a ServiceAccount that owns the sample Group, and may read its Secrets, which claiming a key needs.
func (r *runner) createVisitor(ctx context.Context) error {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: sampleNamespace, Name: name} }
	_, err := r.core.CoreV1().ServiceAccounts(sampleNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta(visitor)}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	rights := &rbacv1.Role{ObjectMeta: meta(visitor), Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}}}
	if _, err := r.core.RbacV1().Roles(sampleNamespace).Create(ctx, rights, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	refs := []rbacv1.RoleRef{{APIGroup: rbacv1.GroupName, Kind: "Role", Name: visitor}}
	for _, name := range role.ClusterRoles(role.Owner) {
		refs = append(refs, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name})
	}
	for _, ref := range refs {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: meta(visitor + "-" + strings.ToLower(ref.Kind) + "-" + ref.Name), RoleRef: ref,
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: sampleNamespace, Name: visitor}},
		}
		if _, err := r.core.RbacV1().RoleBindings(sampleNamespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// consoleInstructions say how to sign in.
func (r *runner) consoleInstructions(kubectl string) string {
	if _, err := os.Stat(r.local("console", "tls.crt")); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return fmt.Sprintf("# The console is at %s (browsers ask whether to trust its certificate). Sign in with the token that this prints:\n"+
		"%s -n %s create token %s --duration=8h\n\n", consoleURL(), kubectl, sampleNamespace, visitor)
}
