package server

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestCertificatesAreWatched: the metric has the ends of what is served and of what is trusted, as they are now.
func TestCertificatesAreWatched(t *testing.T) {
	some := httptest.NewTLSServer(nil)
	defer some.Close()
	pair := some.TLS.Certificates[0]
	file := filepath.Join(t.TempDir(), "ca.crt")
	c := &certificates{authorityFile: file}
	if n := testutil.CollectAndCount(c); n != 0 {
		t.Errorf("%d series without certificates", n)
	}
	c.own = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: pair.Certificate, Leaf: some.Certificate()}, nil
	}}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: some.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ends := some.Certificate().NotAfter.Unix()
	want := fmt.Sprintf(`
# HELP keyward_validator_certificate_expiration_timestamp_seconds When certificates end, in Unix time: integrations is the one of --tls-cert-file, authority is what --sync-ca-file trusts.
# TYPE keyward_validator_certificate_expiration_timestamp_seconds gauge
keyward_validator_certificate_expiration_timestamp_seconds{certificate="authority"} %d
keyward_validator_certificate_expiration_timestamp_seconds{certificate="integrations"} %d
`, ends, ends)
	if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
