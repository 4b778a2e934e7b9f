package rogue

import (
	"context"
	"crypto/tls"
	"io"
	"net"

	"golang.org/x/net/http2"
)

// Strangers opens connections that begin with HTTP/2 and send nothing more, each after the last one was served. It returns
// the open connections, also if it fails.
func (c *Client) Strangers(ctx context.Context, n int) ([]net.Conn, error) {
	//nolint:gosec // a rogue need not verify the server
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}}
	var conns []net.Conn
	for range n {
		conn, err := dialer.DialContext(ctx, "tcp", c.Address)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			return conns, err
		}
		framer := http2.NewFramer(conn, conn)
		if err := framer.WriteSettings(); err != nil {
			return conns, err
		}
		if _, err := framer.ReadFrame(); err != nil {
			return conns, err
		}
	}
	return conns, nil
}
