package grouplog

import (
	"context"
	"errors"
	"sync"
)

var errNotLoaded = errors.New("the logs of Groups are not read yet")

// signal notifies those who wait for something, without waiting for them.
type signal struct {
	mu      sync.Mutex
	waiting map[chan struct{}]struct{}
}

// subscribe returns a channel from which something can be received after notify was called, until the context ends.
func (s *signal) subscribe(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[chan struct{}]struct{}{}
	}
	s.waiting[c] = struct{}{}
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, c)
	})
	return c
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.waiting {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}
