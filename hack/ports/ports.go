// Package ports finds ports for programs that need a fixed port to listen on.
package ports

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The system uses none of these ports for outgoing connections (net.ipv4.ip_local_port_range), so that a free port stays free
// until a program listens on it.
const (
	first = 12_000
	last  = 32_000

	attempts = 100
)

// reserved are UDP sockets of the same ports, which this process keeps for as long as it lives, so that no other process is given a port
// on which a program is to listen, or listens at times.
var reserved struct {
	sync.Mutex

	all []net.PacketConn
}

// Free returns a loopback address, host:port, on whose port nothing listens, neither on the loopback nor on all addresses.
func Free() (string, error) {
	for range attempts {
		port := strconv.Itoa(first + rand.IntN(last-first))
		reservation, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", "127.0.0.1:"+port)
		if err != nil { // another process has been given it, or uses it
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":"+port)
		if err != nil {
			_ = reservation.Close()
			continue
		}
		reserved.Lock()
		reserved.all = append(reserved.all, reservation)
		reserved.Unlock()
		return net.JoinHostPort("127.0.0.1", port), listener.Close()
	}
	return "", errors.New("no free port found")
}
