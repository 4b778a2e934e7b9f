// Package pki keeps the certificates and keys of a development cluster in one directory.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLifetime   = 10 * 365 * 24 * time.Hour
	certificateLifetime = 365 * 24 * time.Hour
	// renewBefore is generous: a cluster that is started once a month never meets an expired certificate.
	renewBefore = 60 * 24 * time.Hour
)

// Files is a certificate and its private key, as paths of PEM files.
type Files struct {
	Cert, Key string
}

// KeyPair is a private key and its public half, as paths of PEM files.
type KeyPair struct {
	Private, Public string
}

// Request says for whom a certificate is issued.
type Request struct {
	CommonName    string
	Organizations []string
	// Hosts are the names and addresses of a server; a certificate without any is a client's.
	Hosts []string
}

// Authority issues certificates and remembers them in its directory.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	now  func() time.Time
}

// Open reads the authority in dir, or creates it there if there is none or if it is about to expire.
func Open(dir string, now func() time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create %s: %w", dir, err)
	}
	authority := &Authority{dir: dir, now: now}
	files := authority.files("ca")
	if cert, key, err := readPair(files); err == nil && authority.fresh(cert) {
		authority.cert, authority.key = cert, key
		return authority, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the authority's key: %w", err)
	}
	template, err := authority.template(pkix.Name{CommonName: "devcluster"}, authorityLifetime)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	authority.key = key
	authority.cert, err = sign(files, template, template, key, key)
	if err != nil {
		return nil, err
	}
	return authority, nil
}

// Cert is the path of the authority's certificate.
func (a *Authority) Cert() string { return a.files("ca").Cert }

// Issue returns the certificate called name: the one issued before while it is still good, else a new one.
func (a *Authority) Issue(name string, request Request) (Files, error) {
	files := a.files(name)
	if cert, _, err := readPair(files); err == nil && a.fresh(cert) && cert.CheckSignatureFrom(a.cert) == nil {
		return files, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("generate the key of %s: %w", name, err)
	}
	template, err := a.template(pkix.Name{CommonName: request.CommonName, Organization: request.Organizations}, certificateLifetime)
	if err != nil {
		return Files{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(request.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range request.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if _, err := sign(files, template, a.cert, key, a.key); err != nil {
		return Files{}, err
	}
	return files, nil
}

// SigningKey returns the key pair called name, creating it once. It has no expiry: tokens signed with it
// outlive a restart.
func (a *Authority) SigningKey(name string) (KeyPair, error) {
	pair := KeyPair{Private: filepath.Join(a.dir, name+".key"), Public: filepath.Join(a.dir, name+".pub")}
	key, err := readKey(pair.Private)
	if err != nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return KeyPair{}, fmt.Errorf("generate %s: %w", name, err)
		}
		if err := writeKey(pair.Private, key); err != nil {
			return KeyPair{}, err
		}
	}
	return pair, writePublicKey(pair.Public, key.Public())
}

func (a *Authority) files(name string) Files {
	return Files{Cert: filepath.Join(a.dir, name+".crt"), Key: filepath.Join(a.dir, name+".key")}
}

func (a *Authority) fresh(cert *x509.Certificate) bool {
	now := a.now()
	return now.After(cert.NotBefore) && now.Add(renewBefore).Before(cert.NotAfter)
}

func (a *Authority) template(subject pkix.Name, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	now := a.now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// An hour ago, so that a clock that is corrected after the first start does not invalidate it.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(lifetime),
	}, nil
}
