package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyward-dev/keyward/hack/devcluster/pki"
)

// style says how a kubeconfig holds its certificates.
type style int

const (
	// referenced names the files, for a component that runs beside them.
	referenced style = iota
	// embedded contains them, so that the kubeconfig can be copied and moved.
	embedded
)

// writeKubeconfig replaces the file at path in one step: a reader never sees half of it.
func writeKubeconfig(path, server, ca string, client pki.Files, style style) error {
	const name = "devcluster"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificate: client.Cert, ClientKey: client.Key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if style == embedded {
		if err := clientcmdapi.FlattenConfig(config); err != nil {
			return fmt.Errorf("embed certificates into %s: %w", path, err)
		}
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create the kubeconfig's directory: %w", err)
	}
	next := path + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// probe sends simple requests to the API server while it starts.
type probe struct {
	server string
	client *http.Client
}

func newProbe(server, ca string, client pki.Files) (*probe, error) {
	pair, err := tls.LoadX509KeyPair(client.Cert, client.Key)
	if err != nil {
		return nil, fmt.Errorf("load the admin's certificate: %w", err)
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair},
	}}
	return &probe{server: server, client: &http.Client{Transport: transport, Timeout: 5 * time.Second}}, nil
}

// get returns a check that path answers 200.
func (p *probe) get(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+path, http.NoBody)
		if err != nil {
			return err
		}
		response, err := p.client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", path, response.Status)
		}
		return nil
	}
}
