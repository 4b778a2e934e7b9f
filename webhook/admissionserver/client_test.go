package admissionserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
)

// authority signs certificates, of servers and of clients.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{}
	issued := a.issue(t)
	certificate, err := x509.ParseCertificate(issued.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, issued.PrivateKey.(*ecdsa.PrivateKey)}
}

// issue issues a certificate; where there is none yet, the one of the authority itself.
func (a authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestClientCertificate: where authorities are given, only their clients get responses.
func TestClientCertificate(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	serving := ours.issue(t)
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	server, err := admissionserver.New(admissionserver.Options{
		Address: address, ClientCAFile: file, Clock: clock.RealClock{},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &serving, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Register("/hook", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	defer func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	for ready := server.StartedChecker(); ready(nil) != nil; { // without a certificate, as the kubelet asks
		select {
		case err := <-stopped:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(ours.certificate)
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		accepted     bool
	}{
		"ours": {[]tls.Certificate{ours.issue(t)}, true}, "another's": {[]tls.Certificate{others.issue(t)}, false}, "none": {nil, false},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			ServerName: "localhost", Certificates: test.certificates}}}
		response, err := client.Post("https://"+address+"/hook", "application/json", strings.NewReader("{}"))
		if err == nil {
			_ = response.Body.Close()
		}
		if accepted := err == nil && response.StatusCode == http.StatusOK; accepted != test.accepted {
			t.Errorf("with the certificate of %s: %v, %v", name, response, err)
		}
		client.CloseIdleConnections()
	}

	for _, content := range []string{"", "no certificate"} {
		missing := filepath.Join(t.TempDir(), "ca.crt")
		if content != "" {
			if err := os.WriteFile(missing, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := admissionserver.New(admissionserver.Options{Address: ":9443", ClientCAFile: missing}); err == nil {
			t.Error("a file without authorities is accepted")
		}
	}
}
