// Package ports finds ports for programs that need a fixed port to listen on.
package ports

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The system uses none of these ports for outgoing connections (net.ipv4.ip_local_port_range), so that a free port stays free
// until a program listens on it.
const (
	first = 12_000
	last  = 32_000

	attempts = 100
)

// Free returns a loopback address, host:port, on whose port nothing listens, neither on the loopback nor on all addresses.
func Free() (string, error) {
	for range attempts {
		port := strconv.Itoa(first + rand.IntN(last-first))
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":"+port)
		if err != nil {
			continue
		}
		return net.JoinHostPort("127.0.0.1", port), listener.Close()
	}
	return "", errors.New("no free port found")
}
