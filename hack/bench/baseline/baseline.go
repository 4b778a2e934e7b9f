// Package baseline has the servers that Keyward's integrations are compared with. They speak the same protocol, through
// the same library with its default options, and decide nothing. An integration that costs less than its baseline uses
// other options, or implements a part of the protocol itself.
package baseline

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
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// The baselines by name.
const (
	GRPC     = "grpc"     // ext_authz that responds OK to everything
	HTTP     = "http"     // 200 to everything
	Proxy    = "proxy"    // httputil.ReverseProxy in front of an upstream
	Pooled   = "pooled"   // the same, with a pool of buffers, which it does not have by default
	Upstream = "upstream" // the content behind the proxies
)

// bodySize is the size of the upstream's responses in bytes.
const bodySize = 1024

// maxIdle keeps connections to the upstream open. net/http keeps two by default, which would make the baseline expensive
// and Keyward look good.
const maxIdle = 256

// Serve runs a baseline until it fails. It writes the address where it listens to out, as one line. Proxies take the
// address of their upstream.
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
	case Proxy, Pooled:
		transport, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return errors.New("net/http has another default transport")
		}
		transport = transport.Clone()
		transport.MaxIdleConnsPerHost = maxIdle
		target := &url.URL{Scheme: "http", Host: upstream}
		proxy := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: transport,
		}
		if name == Pooled {
			proxy.BufferPool = &buffers{}
		}
		return http.Serve(listener, proxy)
	case Upstream:
		body := strings.Repeat("x", bodySize)
		return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	default:
		return fmt.Errorf("there is no baseline %q", name)
	}
}

// buffers are as large as those that httputil makes.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return buffer[:]
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[32 << 10]byte)(buffer)) }

type allowAll struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements Envoy's Authorization service.
func (allowAll) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}}, nil
}
