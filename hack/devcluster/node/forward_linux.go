package node

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

const dialTimeout = 10 * time.Second

// Forward connects every connection that arrives at a listener with a target, until ctx is done. The listener may be a socket of
// the host's network that this process has inherited. The target's host is an address, or the name of a Service like
// content.acme.svc, which the cluster's DNS is asked for each time.
func Forward(ctx context.Context, listener net.Listener, target string) {
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		outer, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(100 * time.Millisecond) // too many open files, for example
			continue
		}
		go func() {
			defer func() { _ = outer.Close() }()
			inner, err := dial(ctx, target)
			if err != nil {
				return // the client sees a connection that is closed at once
			}
			defer func() { _ = inner.Close() }()
			join(outer.(*net.TCPConn), inner.(*net.TCPConn))
		}()
	}
}

func dial(ctx context.Context, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		addresses, err := clusterNames.LookupHost(ctx, strings.TrimSuffix(host, ".")+".cluster.local.")
		if err != nil {
			return nil, err
		}
		if len(addresses) == 0 {
			return nil, errors.New("no address")
		}
		host = addresses[0]
	}
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}

// clusterNames asks the cluster's DNS.
var clusterNames = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(DNS, "53"))
}}

// join copies both ways. Each end learns that the other has finished sending while it may still send itself.
func join(outer, inner *net.TCPConn) {
	var both sync.WaitGroup
	one := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil {
			// A reset is passed on as one, so that what a client sees is what happened.
			_ = to.SetLinger(0)
			_ = to.Close()
			return
		}
		_ = to.CloseWrite()
	}
	both.Go(func() { one(inner, outer) })
	both.Go(func() { one(outer, inner) })
	both.Wait()
}
