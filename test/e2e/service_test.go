package e2e

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// service plays kube-proxy for the Service in front of the webhooks: it connects each client with a manager that listens,
// preferably the one that was started last.
type service struct {
	listener net.Listener

	mu       sync.Mutex
	backends []string
}

func newService(ctx context.Context) (*service, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &service{listener: listener}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go s.connect(client)
		}
	}()
	return s, nil
}

func (s *service) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *service) add(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backends = slices.Insert(s.backends, 0, address)
}

func (s *service) remove(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backends = slices.DeleteFunc(s.backends, func(a string) bool { return a == address })
}

func (s *service) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	s.mu.Lock()
	backends := slices.Clone(s.backends)
	s.mu.Unlock()
	for _, address := range backends {
		backend, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue
		}
		forward(client, backend)
		return
	}
}

// forward copies bytes in both directions until either end closes, and closes both.
func forward(client, backend net.Conn) {
	defer func() { _, _ = client.Close(), backend.Close() }()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, backend}, {backend, client}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}
