// Package throttle counts failed attempts, or requests that need no key, by client address, in a table of fixed size: a flood of addresses takes no more
// memory, and does not make the table forget the clients that fail most. Validation servers and the console share it.
package throttle

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Window is how long failures are counted, unless a Config says otherwise. It begins with the first failure.
const Window = time.Minute

// The table is divided into shards, each with a lock, and these into sets. A client belongs to one set. In total there is
// room for about a million clients in 24 MiB; a shard takes no memory before it is used.
const (
	shards       = 256
	setsPerShard = 512
	setSize      = 8

	bitsIPv4 = 32
)

// Config is how many failures are too many.
type Config struct {
	// Failures is how many a client may have within a Window; 0 is any number.
	Failures int
	// Window is how long failures are counted; 0 is the constant of that name.
	Window time.Duration
	// IPv6Prefix is how many bits of an IPv6 address distinguish clients: a client that has one address usually has all of
	// its /64.
	IPv6Prefix int
}

// Throttle is safe for concurrent use. A nil Throttle throttles nothing.
//
// Locks: the mu of a shard guards all its sets. A failure is of one shard, so two locks are never held at once.
type Throttle struct {
	config Config
	seed   maphash.Seed // unknown to clients, so that they cannot choose their set
	shards [shards]shard
}

type shard struct {
	mu   sync.Mutex
	sets *[setsPerShard]set
}

type set [setSize]slot

// slot is one client's window. Clients are distinguished by 64 bits of a hash: the odds that any two of a million clients
// share a slot are 1 in 37 million.
type slot struct {
	client   uint64
	end      int64 // Unix milliseconds
	failures int64
}

// New returns a throttle with no failures, or nil if it would never throttle.
func New(config Config) *Throttle {
	if config.Failures <= 0 {
		return nil
	}
	if config.Window <= 0 {
		config.Window = Window
	}
	return &Throttle{config: config, seed: maphash.MakeSeed()}
}

// Fail counts a failed attempt of a client. If there were too many already, it counts nothing and returns how long the
// client has to wait until its window is over. The zero Addr is an unknown client, which never has too many.
func (t *Throttle) Fail(client netip.Addr, now time.Time) time.Duration {
	if t == nil || !client.IsValid() {
		return 0
	}
	return t.fail(t.hash(client), now)
}

// FailTogether is Fail for clients that are not known, and share what one client may.
func (t *Throttle) FailTogether(name string, now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return t.fail(maphash.String(t.seed, name), now)
}

func (t *Throttle) fail(hash uint64, now time.Time) time.Duration {
	millis := now.UnixMilli()
	shard := &t.shards[hash%shards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.sets == nil {
		shard.sets = new([setsPerShard]set)
	}
	slot := shard.sets[hash/shards%setsPerShard].find(hash, millis, t.config.Window.Milliseconds())
	if slot.failures >= int64(t.config.Failures) {
		return time.Duration(slot.end-millis) * time.Millisecond
	}
	slot.failures++
	return 0
}

func (t *Throttle) hash(client netip.Addr) uint64 {
	bytes := Network(client, t.config.IPv6Prefix).As16()
	return maphash.Bytes(t.seed, bytes[:])
}

// Network returns the address that stands for all addresses of a client. For IPv6, so many bits distinguish clients.
func Network(client netip.Addr, ipv6Prefix int) netip.Addr {
	client = client.Unmap().WithZone("")
	bits := bitsIPv4
	if client.Is6() {
		bits = ipv6Prefix
	}
	if network, err := client.Prefix(bits); err == nil {
		return network.Addr()
	}
	return client
}

// find returns the client's slot, with a new window if it has none. A new window replaces one that is over, or else the one
// with the fewest failures, and among these the one that ends first.
func (s *set) find(client uint64, now, window int64) *slot {
	free := &s[0]
	for i := range s {
		slot := &s[i]
		if slot.isOver(now, window) {
			slot.failures = 0
			slot.end = 0
		} else if slot.client == client {
			return slot
		}
		if slot.failures < free.failures || slot.failures == free.failures && slot.end < free.end {
			free = slot
		}
	}
	*free = slot{client: client, end: now + window}
	return free
}

// isOver reports whether the window is over, or ends too late because the clock was turned back.
func (s *slot) isOver(now, window int64) bool {
	return s.end <= now || s.end > now+window
}
