package admissionserver

import (
	"context"
	"net/netip"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// largeBytes is how many bytes of large requests are in memory at once, and peerBytes how many of one address;
	// decoded they take some 40 times as much at worst. Other requests are queued.
	largeBytes = 8 << 20
	peerBytes  = maxBody
	// smallAtOnce is how many small requests that have arrived are processed at once, and peerAtOnce how many of
	// one address.
	smallAtOnce = 64
	peerAtOnce  = 32
)

// shares limit the memory of requests: of all together, and of those of one address, so that
// each address has a queue of its own.
type shares struct {
	large, small *semaphore.Weighted

	mu    sync.Mutex
	peers map[netip.Addr]*share
}

// share is the part of one address.
type share struct {
	large, small *semaphore.Weighted
	users        int
}

func newShares() *shares {
	return &shares{
		large: semaphore.NewWeighted(largeBytes), small: semaphore.NewWeighted(smallAtOnce),
		peers: map[netip.Addr]*share{},
	}
}

// of returns the share of an address. The caller calls leave when it no longer uses the share.
func (s *shares) of(peer netip.Addr) (of *share, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of = s.peers[peer]
	if of == nil {
		of = &share{large: semaphore.NewWeighted(peerBytes), small: semaphore.NewWeighted(peerAtOnce)}
		s.peers[peer] = of
	}
	of.users++
	return of, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if of.users--; of.users == 0 {
			delete(s.peers, peer)
		}
	}
}

// hold is what one request has acquired.
type hold []func()

func (h *hold) acquire(ctx context.Context, of *semaphore.Weighted, n int64) error {
	if err := of.Acquire(ctx, n); err != nil {
		return err
	}
	*h = append(*h, func() { of.Release(n) })
	return nil
}

func (h *hold) release() {
	for _, release := range *h {
		release()
	}
}
