// Package ports finds ports for programs that have to be told where to listen.
package ports

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Of these the system takes none for outgoing connections (net.ipv4.ip_local_port_range),
// so that none is lost between finding it and listening on it.
const (
	first = 12_000
	last  = 32_000

	attempts = 100
)

// Free returns an address of the loopback, host:port, on whose port nothing listens, be it
// on the loopback or on all addresses.
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
