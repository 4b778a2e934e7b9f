// Package signin bounds how often anybody may try to sign in to the console.
package signin

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"k8s.io/utils/lru"
)

const (
	// Attempts is how many an address or an account may have within Window, wherever that begins.
	Attempts = 10
	// Window is how long an attempt counts.
	Window = 15 * time.Minute
	// Most is how many addresses, and as many accounts, are counted, in 8 MB together. Of more, those are forgotten whose last attempt is the longest ago.
	Most = 16_384

	// bitsIPv6 are those that clients are distinguished by: who has one address usually has all of its /64.
	bitsIPv6 = 64
)

// Limiter is safe for concurrent use.
type Limiter struct {
	now func() time.Time

	mu        sync.Mutex
	addresses *lru.Cache // of netip.Addr
	names     *lru.Cache // of the SHA-256 of their names, so that a long name takes no more memory
}

// NewLimiter returns a Limiter that has counted nothing.
func NewLimiter(now func() time.Time) *Limiter {
	return &Limiter{now: now, addresses: lru.New(Most), names: lru.New(Most)}
}

// attempts are the times of the last ones, in Unix nanoseconds; the next one replaces the oldest.
type attempts struct {
	at   [Attempts]int64
	next int
}

// Address counts an attempt from an address. If there were too many, it counts nothing and returns how long to wait, which is more than zero. All
// clients whose address is not known, which is the zero Addr, count as one.
func (l *Limiter) Address(client netip.Addr) (wait time.Duration) {
	return l.count(l.addresses, Network(client))
}

// Network is what clients are distinguished by: an address, or the first of its /64. The zero Addr stands for all whose address is not known.
func Network(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	if client.Is6() {
		if network, err := client.Prefix(bitsIPv6); err == nil {
			return network.Addr()
		}
	}
	return client
}

// Person counts an attempt to sign in as somebody, as Address does. It is called as soon as the name is known: with OIDC and with tokens, that is after
// the proof was verified, and before a session begins.
func (l *Limiter) Person(name string) (wait time.Duration) {
	return l.count(l.names, sha256.Sum256([]byte(name)))
}

func (l *Limiter) count(of *lru.Cache, key any) time.Duration {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var a *attempts
	if known, ok := of.Get(key); ok {
		a, _ = known.(*attempts)
	}
	if a == nil {
		a = &attempts{}
		of.Add(key, a)
	}
	// A time ahead is one from before the clock was turned back. It does not count, or it might for ever.
	oldest := time.Unix(0, a.at[a.next])
	if wait := oldest.Add(Window).Sub(now); wait > 0 && !oldest.After(now) {
		return wait
	}
	a.at[a.next] = now.UnixNano()
	a.next = (a.next + 1) % Attempts
	return 0
}

// Limit lets next answer attempts from addresses that have not had too many. Others are answered by Refuse, and refused gets them.
func (l *Limiter) Limit(address func(*http.Request) netip.Addr, refused func(*http.Request), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := l.Address(address(r)); wait > 0 {
			refused(r)
			Refuse(w, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Refuse answers that there were too many attempts, and when to try again, in whole seconds that are enough.
func Refuse(w http.ResponseWriter, wait time.Duration) {
	seconds := int64((wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	w.Header().Set("Cache-Control", "no-store")
	minutes := (seconds + 59) / 60
	http.Error(w, "There were too many attempts to sign in. Try again in "+strconv.FormatInt(minutes, 10)+" min.", http.StatusTooManyRequests)
}
