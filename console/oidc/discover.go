package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	timeout      = 10 * time.Second
	mostAnswer   = 1 << 20
	failureHolds = 2 * time.Second // so that many people at once do not wait for each other's attempts
	discoveryAge = time.Hour
)

// algorithms are those of signatures that are accepted: with a private key alone, so that whoever verifies cannot sign.
var algorithms = []string{gooidc.RS256, gooidc.RS384, gooidc.RS512, gooidc.ES256, gooidc.ES384, gooidc.ES512, gooidc.PS256, gooidc.PS384, gooidc.PS512,
	gooidc.EdDSA}

// newClient returns what reaches the provider: with a bound in time and size, over TLS, and to nowhere else than it was sent.
func newClient(caFile string) (*http.Client, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default transport is none of HTTP")
	}
	transport = transport.Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		text, err := os.ReadFile(caFile) //nolint:gosec // the operator says which file
		if err != nil {
			return nil, fmt.Errorf("oidc.caFile: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("oidc.caFile: there is no certificate in it; write the PEM file of the authority of the provider")
		}
	}
	return &http.Client{Transport: bounded{transport}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// bounded bounds the answers of the provider.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("the provider names an address that is not https")
	}
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, mostAnswer)
	return response, nil
}

// found is what the provider says of itself.
type found struct {
	provider *gooidc.Provider
	endpoint oauth2.Endpoint
}

// discovery finds the provider when it is needed, and again after a failure. One does it at a time, and others wait for that.
type discovery struct {
	issuer string
	client *http.Client
	now    func() time.Time

	turn   chan struct{} // has one element unless somebody discovers
	last   *found
	at     time.Time // of the last success
	failed time.Time
	err    error
}

func newDiscovery(issuer string, client *http.Client, now func() time.Time) *discovery {
	d := &discovery{issuer: issuer, client: client, now: now, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

func (d *discovery) get(ctx context.Context) (*found, error) {
	select {
	case <-d.turn:
		defer func() { d.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := d.now()
	if d.last != nil && now.Sub(d.at) < discoveryAge {
		return d.last, nil
	}
	if d.err != nil && now.Sub(d.failed) < failureHolds {
		return d.last, d.errUnlessFound()
	}
	got, err := d.discover()
	if err != nil {
		d.err, d.failed = err, now
		return d.last, d.errUnlessFound()
	}
	d.last, d.at, d.err = got, now, nil
	return got, nil
}

// errUnlessFound is the last error, unless what was found before still holds.
func (d *discovery) errUnlessFound() error {
	if d.last != nil {
		return nil
	}
	return d.err
}

// discover asks the provider, not for one person alone: who leaves does not keep others from it.
func (d *discovery) discover() (*found, error) {
	ctx, stop := context.WithTimeout(gooidc.ClientContext(context.Background(), d.client), timeout)
	defer stop()
	provider, err := gooidc.NewProvider(ctx, d.issuer)
	if err != nil {
		return nil, fmt.Errorf("asking the provider about itself: %w", err)
	}
	var says struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&says); err != nil {
		return nil, fmt.Errorf("reading what the provider says of itself: %w", err)
	}
	endpoint := provider.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL} {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, errors.New("the provider names an address that is not https")
		}
	}
	// The standard's default is basic. To try one after the other would show a code twice.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if len(says.Methods) > 0 && !slices.Contains(says.Methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &found{provider: provider, endpoint: endpoint}, nil
}
