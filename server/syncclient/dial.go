package syncclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	keepaliveInterval = 10 * time.Second
	keepaliveTimeout  = 5 * time.Second
	connectTimeout    = 5 * time.Second

	maxUpdate = 64 << 20 // bytes of one message

	pickFirst = `{"loadBalancingConfig":[{"pick_first":{}}]}`
)

// dial prepares a connection. Only the leader among the managers listens, and pick_first finds it.
func (c *Client) dial() (*grpc.ClientConn, error) {
	authorities, err := readCA(c.config.CAFile)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(c.config.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: authorities, ServerName: c.config.ServerName, MinVersion: tls.VersionTLS13,
		})),
		grpc.WithPerRPCCredentials(tokenFile(c.config.TokenFile)),
		grpc.WithDefaultServiceConfig(pickFirst),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minBackoff, Multiplier: 2, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxUpdate)),
	)
}

func readCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--sync-ca-file: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--sync-ca-file: %s holds no certificate in PEM", path)
	}
	return authorities, nil
}

// tokenFile is the path of a bearer token, which the kubelet renews.
type tokenFile string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (path tokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := os.ReadFile(string(path))
	if err == nil && len(strings.TrimSpace(string(token))) == 0 {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "--sync-token-file: %v", err)
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (tokenFile) RequireTransportSecurity() bool { return true }
