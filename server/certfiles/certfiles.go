// Package certfiles serves TLS with a certificate that is renewed in its files, as cert-manager and the kubelet do it:
// through symbolic links, for both files at once.
package certfiles

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// recheck is how often the files are read at most, while clients connect.
const recheck = 5 * time.Second

// Config returns a server's configuration (TLS 1.2 and newer, HTTP/2 and HTTP/1.1) for the PEM files. It fails if they
// are not a valid pair now. A pair that becomes invalid later is logged, and the last valid one stays in use.
func Config(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	p := &pair{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	if err := p.read(); err != nil {
		return nil, err
	}
	return p.config(), nil
}

type pair struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu        sync.Mutex
	looked    time.Time
	cert, key []byte // as they were read, valid or not
	current   *tls.Certificate
}

func (p *pair) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.get(), nil },
	}
}

// get reads the files within a handshake instead of watching them, so that no way of replacing them is missed.
func (p *pair) get() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.looked) >= recheck {
		p.looked = now
		if err := p.read(); err != nil {
			p.log.Error("cannot use the new certificate, continuing with the last one", slog.String("file", p.certFile),
				slog.Any("error", err))
		}
	}
	return p.current
}

func (p *pair) read() error {
	cert, err := os.ReadFile(p.certFile)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(p.keyFile)
	if err != nil {
		return err
	}
	if bytes.Equal(cert, p.cert) && bytes.Equal(key, p.key) {
		return nil
	}
	p.cert, p.key = cert, key // so that an invalid pair is logged once
	parsed, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s are not a certificate and its key: %w", p.certFile, p.keyFile, err)
	}
	if p.current != nil {
		p.log.Info("new certificate", slog.String("file", p.certFile), slog.Time("until", parsed.Leaf.NotAfter))
	}
	p.current = &parsed
	return nil
}
