package servingcert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// certificate returns a self-signed certificate that ends at a time, and its key, as PEM.
func certificate(t *testing.T, ends time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: ends.Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// TestExpiration: the metric has what is mounted and served. Of several authorities, that which ends last counts.
func TestExpiration(t *testing.T) {
	served, first, last := time.Unix(2_000_000_000, 0), time.Unix(2_100_000_000, 0), time.Unix(2_200_000_000, 0)
	dir := t.TempDir()
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certificate(t, served)
	newer, _ := certificate(t, last)
	older, _ := certificate(t, first)
	write("tls.crt", cert)
	write("tls.key", key)
	write("ca.crt", append(newer, older...))

	c := &Certificate{dir: dir}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Start(ctx) }()
	NewWithT(t).Eventually(c.watcher.Load).WithTimeout(20 * time.Second).WithPolling(time.Millisecond).ShouldNot(BeNil())
	want := fmt.Sprintf(`
# HELP keyward_certificate_expiration_timestamp_seconds When the manager's certificates end, in Unix time: serving is for webhooks and the sync port, authority is what clients trust.
# TYPE keyward_certificate_expiration_timestamp_seconds gauge
keyward_certificate_expiration_timestamp_seconds{certificate="authority"} %d
keyward_certificate_expiration_timestamp_seconds{certificate="serving"} %d
`, last.Unix(), served.Unix())
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	write("ca.crt", []byte("no PEM"))
	if n := testutil.CollectAndCount(collector); n != 1 {
		t.Errorf("%d series with an authority that cannot be read, want 1", n)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(collector); n != 0 {
		t.Errorf("%d series after its end, want none", n)
	}
}
