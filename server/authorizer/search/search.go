// Package search bounds the work of searching the groups of all tenants for requests without a known key, which name no
// group: preflights of browsers, and requests of clients without a key. It bounds the work in total, for each client, and
// at the same time.
package search

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/throttle"
)

// A unit of work keeps the budget busy for longer than the work takes, which is some two nanoseconds.
const (
	// unitTime makes searches take a tenth of one processor.
	unitTime = 20 * time.Nanosecond
	// clientUnitTime gives one client an eighth of that.
	clientUnitTime = 8 * unitTime
	// burst is how far ahead of the clock the budget may be: what may be saved up.
	burst = 500 * time.Millisecond
	// turnedBack is how far ahead the budget can be only if the clock was turned back.
	turnedBack = time.Minute

	// clients is how many meters of clients there are. A hash assigns one to each client; some clients share one.
	clients = 4096
)

// Config is how large the budget is.
type Config struct {
	// AtOnce is how many searches may be made at the same time, at least 1.
	AtOnce int
	// IPv6Prefix is how many bits of an IPv6 address distinguish clients.
	IPv6Prefix int
	// Work is the most that one search takes.
	Work int
}

// Budget is safe for concurrent use. It has no lock, and allocates nothing. A nil Budget allows all searches.
//
// Invariants: a search that Begin allows has a slot, and has reserved the most that a search takes in both total and the
// client's meter. End releases the slot and gives back what was not spent, and a Begin that allows nothing gives back what
// it has reserved. The meters are separate atomics, so between these steps they may show more in use than is, but never
// less.
type Budget struct {
	config  Config
	seed    maphash.Seed // unknown to clients, so that they cannot choose their meter
	slots   chan struct{}
	total   meter
	clients [clients]meter

	ofAll, ofClient, ofNone prometheus.Counter
}

// New returns a budget that is not used yet.
func New(config Config, metrics prometheus.Registerer) *Budget {
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_validator_skipped_searches_total",
		Help: "Searches of groups for preflights, and for denials without a key, that were skipped, by the budget that was used up: " +
			"of all clients, of one client, or none if the client did not wait.",
	}, []string{"budget"})
	metrics.MustRegister(skipped)
	return &Budget{
		config: config, seed: maphash.MakeSeed(), slots: make(chan struct{}, max(1, config.AtOnce)),
		ofAll: skipped.WithLabelValues("all"), ofClient: skipped.WithLabelValues("client"), ofNone: skipped.WithLabelValues("none"),
	}
}

// Begin reports whether a search for the client may be made. It reserves the most that the search can take, and waits for
// searches that are in progress, so that there are never more of them than the budget covers. The caller passes what was
// spent to End. The zero Addr is an unknown client, which has no budget of its own.
func (b *Budget) Begin(ctx context.Context, client netip.Addr, now time.Time) bool {
	if b == nil {
		return true
	}
	own := b.of(client)
	if own != nil && !own.take(now, b.config.Work, clientUnitTime) {
		b.ofClient.Inc()
		return false
	}
	if !b.total.take(now, b.config.Work, unitTime) {
		own.giveBack(b.config.Work, clientUnitTime)
		b.ofAll.Inc()
		return false
	}
	select {
	case b.slots <- struct{}{}:
		return true
	default:
	}
	select {
	case b.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		own.giveBack(b.config.Work, clientUnitTime)
		b.total.giveBack(b.config.Work, unitTime)
		b.ofNone.Inc()
		return false
	}
}

// End gives back what a search has not spent.
func (b *Budget) End(client netip.Addr, spent int) {
	if b == nil {
		return
	}
	<-b.slots
	unspent := max(0, b.config.Work-spent)
	b.of(client).giveBack(unspent, clientUnitTime)
	b.total.giveBack(unspent, unitTime)
}

// of returns the meter of a client, or nil if the client is not known.
func (b *Budget) of(client netip.Addr) *meter {
	if !client.IsValid() {
		return nil
	}
	bytes := throttle.Network(client, b.config.IPv6Prefix).As16()
	return &b.clients[maphash.Bytes(b.seed, bytes[:])%clients]
}

// meter is the instant, in Unix nanoseconds, until which a budget is busy with the work that was spent.
type meter struct{ busy atomic.Int64 }

// take spends so many units, unless the meter would be too far ahead of the clock.
func (m *meter) take(now time.Time, units int, unitTime time.Duration) bool {
	cost := int64(units) * int64(unitTime)
	for {
		busy, from := m.busy.Load(), now.UnixNano()
		if ahead := time.Duration(busy - from); ahead > 0 && ahead < turnedBack {
			from = busy
		}
		if from+cost-now.UnixNano() > int64(burst) {
			return false
		}
		if m.busy.CompareAndSwap(busy, from+cost) {
			return true
		}
	}
}

func (m *meter) giveBack(units int, unitTime time.Duration) {
	if m != nil {
		m.busy.Add(-int64(units) * int64(unitTime))
	}
}
