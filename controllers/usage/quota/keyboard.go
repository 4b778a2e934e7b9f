package quota

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// KeyBoard has what is used of the quotas of keys, and knows when their status is to show it. It is safe for concurrent use.
//
// mu guards keys.
type KeyBoard struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	keys map[string]*keyUsed // by id
}

type keyUsed struct {
	period  quotaledger.Period
	used    uint64
	news    bool      // the status does not show it
	written time.Time // when the status showed it last
}

// NewKeyBoard returns a KeyBoard on which nothing is.
func NewKeyBoard(clk clock.PassiveClock) *KeyBoard {
	return &KeyBoard{clock: clk, keys: map[string]*keyUsed{}}
}

// Set sets how many requests of the quota of the key with this id are used in a period.
func (b *KeyBoard) Set(id string, period quotaledger.Period, used uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	is := b.keys[id]
	if is == nil {
		is = &keyUsed{}
		b.keys[id] = is
	}
	if period.Begin().Before(is.period.Begin()) || period == is.period && used == is.used {
		return
	}
	is.period, is.used, is.news = period, used, true
}

// Due returns the ids of keys whose status is to show something new, and did so the resolution ago or earlier; at most so many.
func (b *KeyBoard) Due(resolution time.Duration, most int) (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for id, is := range b.keys {
		if len(ids) == most {
			break
		}
		if is.news && now.Sub(is.written) >= resolution {
			ids = append(ids, id)
		}
	}
	return ids
}

// Of returns what is used of the quota of a key in a period, whether that is known, and whether the status is to be written for it.
func (b *KeyBoard) Of(id string, period quotaledger.Period, resolution time.Duration) (used uint64, known, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	is := b.keys[id]
	if is == nil {
		return 0, false, false
	}
	if is.period != period {
		is.news = false // it is not shown any more
		return 0, false, false
	}
	return is.used, true, is.news && b.clock.Now().Sub(is.written) >= resolution
}

// Shown records that the status of a key shows so much.
func (b *KeyBoard) Shown(id string, period quotaledger.Period, used uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if is := b.keys[id]; is != nil && is.news && is.period == period && is.used == used {
		is.news, is.written = false, b.clock.Now()
	}
}

// Forget drops a key that was deleted.
func (b *KeyBoard) Forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keys, id)
}
