package servingcert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// backdate is how long before it was issued a certificate becomes valid, for machines whose clocks are behind.
const backdate = time.Hour

// pair is a certificate with its private key, as in the Secret and parsed.
type pair struct {
	cert            *x509.Certificate
	key             crypto.Signer
	certPEM, keyPEM []byte
}

// newAuthority makes an authority that signs itself.
func newAuthority(now time.Time, lifetime time.Duration) (*pair, error) {
	return issue(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "keyward-ca", Organization: []string{"keyward"}},
		NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}, nil, now)
}

// newServing has the authority issue a serving certificate. It does not outlive the authority.
func newServing(authority *pair, names []string, now time.Time, lifetime time.Duration) (*pair, error) {
	end := now.Add(lifetime)
	if authority.cert.NotAfter.Before(end) {
		end = authority.cert.NotAfter
	}
	return issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}, authority, now)
}

// issue completes the template and has the authority sign it, or the certificate itself if there is none.
func issue(template *x509.Certificate, authority *pair, now time.Time) (*pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	template.SerialNumber, template.NotBefore = serial, now.Add(-backdate)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a private key: %w", err)
	}
	parent, signer := template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.cert, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return parsePair(encode(der), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// parsePair parses a certificate and its private key, which must belong together.
func parsePair(certPEM, keyPEM []byte) (*pair, error) {
	parsed, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return &pair{cert: parsed.Leaf, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// authorityOf returns the pair of the private key and its certificate among these, or nil if there is none.
func authorityOf(certs []*x509.Certificate, keyPEM []byte) *pair {
	for _, cert := range certs {
		if p, err := parsePair(encode(cert.Raw), keyPEM); err == nil && cert.IsCA {
			return p
		}
	}
	return nil
}

// issued reports whether the authority has issued the certificate for exactly these names, and both are valid at the instant.
func (p *pair) issued(by *pair, names []string, at time.Time) bool {
	roots := x509.NewCertPool()
	roots.AddCert(by.cert)
	for _, name := range names {
		if _, err := p.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at}); err != nil {
			return false
		}
	}
	return true
}

// validAt reports whether the certificate is valid at the instant.
func validAt(cert *x509.Certificate, at time.Time) bool {
	return !at.Before(cert.NotBefore) && at.Before(cert.NotAfter)
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// encodeBundle encodes certificates as PEM.
func encodeBundle(certs []*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, cert := range certs {
		text.Write(encode(cert.Raw))
	}
	return text.Bytes()
}

// parseBundle returns the certificates in a PEM text, without what is not a certificate.
func parseBundle(text []byte) (certs []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certs
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			certs = append(certs, cert)
		}
	}
}
