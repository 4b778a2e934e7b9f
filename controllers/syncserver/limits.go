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
	// An address may have this many failed attempts at once, and one more every two seconds. Successful attempts do not
	// count, because a fleet may be behind one address. IPv6 addresses count by /64.
	failuresAtOnce = 60
	failureEvery   = 2 * time.Second
	ipv6Prefix     = 64
	// maxAddresses is the number of addresses whose failures are counted separately; all others share one count.
	maxAddresses = 10_000

	// reviewedTokenFor is how long the review of a token is valid. maxTokens is how many reviews are kept of refused
	// tokens, and again of accepted ones.
	reviewedTokenFor = 10 * time.Second
	maxTokens        = 4096
	// reviewsAtOnce is how many tokens are reviewed at the same time.
	reviewsAtOnce = 32

	// DefaultStreams is how many streams an account may have, and streamsOfPod how many of them from one Pod, or with
	// one instance.
	DefaultStreams = 2000
	streamsOfPod   = 8
	// hellosAtOnce is how many streams of an account may be before the end of their Hello at the same time.
	hellosAtOnce = 4
	// opened is how many streams an account may open per second once its burst, twice the streams it may have, is used.
	opened = 100
	// maxStale is how many groups the servers of an account may know, in all, that do not exist or that they may not have.
	maxStale = 100_000
)

var errTooMany = status.Error(codes.ResourceExhausted,
	"too many attempts from this address were refused; tokens that were not seen before are reviewed again in some seconds")

// token is the hash of a token.
type token [sha256.Size]byte

// reviewed is the user of a token, and when that was reviewed.
type reviewed struct {
	user authenticationv1.UserInfo
	at   time.Time
}

// attempts bounds the cost of callers whose tokens are refused.
//
// mu guards the maps and the limiters in them, and is never held while the API server is asked; the channel reviews bounds
// how many do that. A refusal removes the token from good; an acceptance leaves a refusal where it is, which has expired by
// then. refused and good have at most maxTokens entries each, and failed has at most maxAddresses.
type attempts struct {
	clock   clock.PassiveClock
	reviews chan struct{} // slots

	mu      sync.Mutex
	failed  map[netip.Prefix]*rate.Limiter
	others  *rate.Limiter // of all addresses that are not in failed
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

// review returns the user of the token, from a recent review or by asking. It does not ask if too many attempts from the
// address have failed recently.
func (a *attempts) review(ctx context.Context, t token, from netip.Prefix,
	ask func() (user authenticationv1.UserInfo, good bool, err error),
) (authenticationv1.UserInfo, error) {
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
	if user, known, err := a.known(t, from); known || err != nil { // others may have asked, or failed, in the meantime
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
	if seen, ok := a.good[t]; ok { // no matter who else is behind its address
		return seen.user, now.Sub(seen.at) < reviewedTokenFor, nil
	}
	if a.failures(from).TokensAt(now) < 1 {
		return user, false, errTooMany
	}
	return user, false, nil
}

// fail counts one attempt. The caller holds the lock.
func (a *attempts) fail(from netip.Prefix, now time.Time) { a.failures(from).AllowN(now, 1) }

// failures returns the limiter of an address. The caller holds the lock.
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
		delete(entries, key) // any entry
	}
}

// addressOf is the address that a call comes from.
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

// streams bounds how many streams there are of an account, of a Pod, and with one instance.
//
// mu guards all maps, which have no entry for what has no stream: hellos has an entry only while counts has one of the same
// account, and stale only while a reservation of the account is not released. A channel of hellos is used outside mu; a stream that holds a
// slot of it is counted, so the channel is not replaced while a slot is taken.
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

// open counts a stream, unless there are as many as there may be. The caller calls leave when the stream ends.
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

// slots has the slots in which streams of an account send their Hello. The caller's stream must be open.
func (s *streams) slots(serviceAccount string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hellos[serviceAccount] == nil {
		s.hellos[serviceAccount] = make(chan struct{}, hellosAtOnce)
	}
	return s.hellos[serviceAccount]
}

// reserveStale counts the groups that a server of the account knows and has to delete. The caller calls reported when the
// server was sent their names.
func (s *streams) reserveStale(serviceAccount string, stale int) (reported func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stale > 0 && s.stale[serviceAccount]+stale > maxStale {
		return nil, false
	}
	s.stale[serviceAccount] += stale
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stale[serviceAccount] -= stale; s.stale[serviceAccount] == 0 {
			delete(s.stale, serviceAccount)
		}
	}), true
}
