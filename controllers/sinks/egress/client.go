package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Options are those of a client.
type Options struct {
	Policy Policy
	// CAFile has the authorities of servers, in PEM; without it those of the system. ServerName is the name in their certificates, if it
	// is not that of the URL.
	CAFile, ServerName string
	// Timeout is how long a request may take, with its response.
	Timeout time.Duration
	// Connections is how many there may be.
	Connections int
}

const (
	maxCAFile         = 1 << 20
	maxResponseHeader = 16 << 10
	idleTimeout       = 90 * time.Second
)

// NewClient returns a client that follows no redirect, uses no proxy, and connects to no address that the policy forbids. A proxy of the
// environment would connect to any address it is asked for.
func NewClient(o Options) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName}
	if o.CAFile != "" {
		authorities, err := readAuthorities(o.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = authorities
	}
	dialer := &net.Dialer{
		Timeout: o.Timeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("reading the address: %w", err)
			}
			return o.Policy.Check(to.Addr())
		},
	}
	return &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true, TLSHandshakeTimeout: o.Timeout,
			MaxConnsPerHost: o.Connections, MaxIdleConnsPerHost: o.Connections, IdleConnTimeout: idleTimeout,
			MaxResponseHeaderBytes: maxResponseHeader, DisableCompression: true,
		},
	}, nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("reading authorities: %w", err)
	}
	authorities := x509.NewCertPool()
	if len(text) > maxCAFile || !authorities.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading authorities: %s is not a file of at most %d bytes with certificates in PEM", path, maxCAFile)
	}
	return authorities, nil
}
