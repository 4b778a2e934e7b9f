package servingcert

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestIssuedCertificateIsServed: without mounted files, what is in the Secret is served, and replaced with each good version of it.
func TestIssuedCertificateIsServed(t *testing.T) {
	c := &Certificate{}
	serves := func() []byte {
		pair, err := c.Get(&tls.ClientHelloInfo{})
		if err != nil {
			return nil
		}
		return encode(pair.Certificate[0])
	}
	if serves() != nil || c.authorities() != nil {
		t.Error("it serves before there is a certificate")
	}
	cert, key := certificate(t, time.Unix(2_000_000_000, 0))
	next, nextKey := certificate(t, time.Unix(2_100_000_000, 0))
	for _, version := range []struct {
		name            string
		cert, key, want []byte
		fails           bool
	}{
		{name: "the first", cert: cert, key: key, want: cert},
		{name: "another", cert: next, key: nextKey, want: next},
		{name: "certificate and key do not belong together", cert: cert, key: nextKey, want: next, fails: true},
		{name: "nothing", want: next, fails: true},
		{name: "the first again", cert: cert, key: key, want: cert},
	} {
		secret := &corev1.Secret{Data: map[string][]byte{"tls.crt": version.cert, "tls.key": version.key, "ca.crt": version.cert}}
		if err := c.replace(secret); (err != nil) != version.fails {
			t.Errorf("%s: %v", version.name, err)
		}
		if !bytes.Equal(serves(), version.want) || !bytes.Equal(c.authorities(), version.want) {
			t.Errorf("%s: another certificate is served", version.name)
		}
	}
}
