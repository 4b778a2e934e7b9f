// Package floor has the servers that Keyward's doors are compared with: the same protocol,
// by the same library with its default options, and no decision. Nothing that speaks the
// protocol through that library can cost less.
package floor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// The floors by name.
const (
	GRPC     = "grpc"     // ext_authz that answers OK to everything
	HTTP     = "http"     // 200 to everything
	Proxy    = "proxy"    // httputil.ReverseProxy in front of an upstream
	Upstream = "upstream" // the content behind both proxies
)

// bodySize of the upstream's answers, in bytes.
const bodySize = 1024

// maxIdle keeps connections to the upstream open. net/http keeps two by default, which would
// make the floor expensive, and us look good.
const maxIdle = 256

// Serve runs a floor until it fails. It writes the address where it listens to out, as one
// line. Proxy takes the address of its upstream.
func Serve(name, upstream string, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, listener.Addr())
	switch name {
	case GRPC:
		server := grpc.NewServer()
		authv3.RegisterAuthorizationServer(server, allowAll{})
		return server.Serve(listener)
	case HTTP:
		return http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	case Proxy:
		transport, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return errors.New("net/http has another default transport")
		}
		transport = transport.Clone()
		transport.MaxIdleConnsPerHost = maxIdle
		target := &url.URL{Scheme: "http", Host: upstream}
		return http.Serve(listener, &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: transport,
		})
	case Upstream:
		body := strings.Repeat("x", bodySize)
		return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	default:
		return fmt.Errorf("there is no floor %q", name)
	}
}

type allowAll struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements Envoy's Authorization service.
func (allowAll) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}}, nil
}
