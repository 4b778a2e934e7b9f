package syncserver

import (
	"context"
	"crypto/sha256"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/utils/clock"
)

const (
	// Of failed attempts an address has so many at once, and one more every two seconds. Successful ones do not
	// count, for a fleet may be behind one address. An IPv6 address is its /64.
	failuresAtOnce = 60
	failureEvery   = 2 * time.Second
	ipv6Prefix     = 64
	// maxAddresses is of how many addresses failures are counted one by one; all others share one count.
	maxAddresses = 10_000

	// reviewedTokenFor is how long the review of a token holds, and maxTokens how many are remembered of those that
	// were refused, and of those that were good.
	reviewedTokenFor = 10 * time.Second
	maxTokens        = 4096
	// reviewsAtOnce is how many tokens are under review at a time.
	reviewsAtOnce = 32

	// DefaultStreams is how many streams an account may have, and streamsOfPod how many of them from one Pod, or
	// under one instance.
	DefaultStreams = 2000
	streamsOfPod   = 8
	// hellosAtOnce is how many streams of an account may be about to say who they are.
	hellosAtOnce = 4
	// opened is how many streams an account may open a second, when it has opened as many as it may have.
	opened = 100
	// maxStale is of how many groups, which are not theirs, the servers of an account may be about to be told.
	maxStale = 100_000
)

var errTooMany = status.Error(codes.ResourceExhausted,
	"too many attempts from this address were refused; tokens that were not seen before are reviewed again in some seconds")

// token is the hash of one.
type token [sha256.Size]byte

// reviewed is who a token is of.
type reviewed struct {
	user authenticationv1.UserInfo
	at   time.Time
}

// attempts bounds what those cost whose tokens are refused.
type attempts struct {
	clock   clock.PassiveClock
	reviews chan struct{} // slots

	mu      sync.Mutex
	failed  map[netip.Prefix]*rate.Limiter
	others  *rate.Limiter // of addresses that are not told apart
	refused map[token]time.Time
	good    map[token]reviewed
}

func newAttempts(clk clock.PassiveClock) *attempts {
	return &attempts{
		clock: clk, reviews: make(chan struct{}, reviewsAtOnce),
		failed: map[netip.Prefix]*rate.Limiter{}, others: newFailures(),
		refused: map[token]time.Time{}, good: map[token]reviewed{},
	}
}

func newFailures() *rate.Limiter { return rate.NewLimiter(rate.Every(failureEvery), failuresAtOnce) }

// review says whose token it is, by what was found a moment ago or by asking, if so many attempts from the address have
// not failed lately.
func (a *attempts) review(ctx context.Context, t token, from netip.Prefix, ask func() (user authenticationv1.UserInfo, good bool, err error)) (authenticationv1.UserInfo, error) {
	nobody := authenticationv1.UserInfo{}
	if user, known, err := a.known(t, from); known || err != nil {
		return user, err
	}
	select {
	case a.reviews <- struct{}{}:
		defer func() { <-a.reviews }()
	case <-ctx.Done():
		return nobody, status.FromContextError(ctx.Err()).Err()
	}
	if user, known, err := a.known(t, from); known || err != nil { // others may have asked, or failed, meanwhile
		return user, err
	}
	user, good, err := ask()
	if err != nil {
		return nobody, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if good {
		drop(a.good, maxTokens)
		a.good[t] = reviewed{user, now}
		return user, nil
	}
	delete(a.good, t)
	drop(a.refused, maxTokens)
	a.refused[t] = now
	a.fail(from, now)
	return nobody, errToken
}

func (a *attempts) known(t token, from netip.Prefix) (user authenticationv1.UserInfo, known bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if at, ok := a.refused[t]; ok && now.Sub(at) < reviewedTokenFor {
		a.fail(from, now)
		return user, true, errToken
	}
	if seen, ok := a.good[t]; ok { // whoever else is behind its address
		return seen.user, now.Sub(seen.at) < reviewedTokenFor, nil
	}
	if a.failures(from).TokensAt(now) < 1 {
		return user, false, errTooMany
	}
	return user, false, nil
}

// fail counts one attempt. The caller holds the lock.
func (a *attempts) fail(from netip.Prefix, now time.Time) { a.failures(from).AllowN(now, 1) }

// failures are those of an address. The caller holds the lock.
func (a *attempts) failures(from netip.Prefix) *rate.Limiter {
	if known := a.failed[from]; known != nil {
		return known
	}
	if len(a.failed) >= maxAddresses {
		now := a.clock.Now()
		for address, limiter := range a.failed {
			if limiter.TokensAt(now) >= failuresAtOnce {
				delete(a.failed, address)
			}
		}
		if len(a.failed) >= maxAddresses {
			return a.others
		}
	}
	limiter := newFailures()
	a.failed[from] = limiter
	return limiter
}

// drop makes room in a map for one more entry.
func drop[K comparable, V any](entries map[K]V, most int) {
	for key := range entries {
		if len(entries) < most {
			return
		}
		delete(entries, key) // whichever comes first
	}
}

// addressOf is where a call comes from.
func addressOf(ctx context.Context) netip.Prefix {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Prefix{}
	}
	return prefixOf(from.Addr)
}

func prefixOf(from net.Addr) netip.Prefix {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	address := tcp.AddrPort().Addr().Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = ipv6Prefix
	}
	prefix, _ := address.WithZone("").Prefix(bits) // bits are in range
	return prefix
}

// streams bounds how many streams there are of an account, of a Pod, and under one name.
type streams struct {
	most int

	mu     sync.Mutex
	counts map[string]int
	hellos map[string]chan struct{}
	stale  map[string]int
}

func newStreams(most int) *streams {
	return &streams{most: most, counts: map[string]int{}, hellos: map[string]chan struct{}{}, stale: map[string]int{}}
}

// open counts a stream, of what has so many at most; leave is to be called when it ends.
func (s *streams) open(of string, most int) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[of] >= most {
		return nil, false
	}
	s.counts[of]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.counts[of]--; s.counts[of] == 0 {
			delete(s.counts, of)
			delete(s.hellos, of)
		}
	}, true
}

// slots are those in which streams of an account say who they are. Its stream has to be open.
func (s *streams) slots(account string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hellos[account] == nil {
		s.hellos[account] = make(chan struct{}, hellosAtOnce)
	}
	return s.hellos[account]
}

// tell notes that a server of the account is to be told of so many groups that are not its; told is to be called when
// it was.
func (s *streams) reserveStale(account string, stale int) (reported func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stale > 0 && s.stale[account]+stale > maxStale {
		return nil, false
	}
	s.stale[account] += stale
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stale[account] -= stale; s.stale[account] == 0 {
			delete(s.stale, account)
		}
	}), true
}
