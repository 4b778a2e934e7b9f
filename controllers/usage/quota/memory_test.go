package quota_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var errUnavailable = errors.New("the store is unavailable")

// memory is a store that outlives Aggregators, and fails on demand.
type memory struct {
	mu       sync.Mutex
	entries  map[store.Key]store.Entry
	version  int
	writes   int
	before   bool // the next write fails
	after    bool // the next write succeeds, but returns an error
	requests uint64
	totals   store.Totals // of the group that was saved last
	ofKey    store.Totals // of the key that was saved last
}

func newMemory() *memory { return &memory{entries: map[store.Key]store.Entry{}} }

func (m *memory) Load(_ context.Context, key store.Key) (store.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, ok := m.entries[key]
	if !ok {
		return store.Entry{Ledger: &quotaledger.Ledger{}}, nil
	}
	return store.Entry{Ledger: entry.Ledger.Clone(), Version: entry.Version}, nil
}

func (m *memory) Save(_ context.Context, key store.Key, entry store.Entry, totals store.Totals) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before {
		m.before = false
		return "", errUnavailable
	}
	if m.entries[key].Version != entry.Version {
		return "", store.ErrConflict
	}
	before := quotaledger.Counters{}
	if is, ok := m.entries[key]; ok {
		before = is.Ledger.Total()
	}
	if entry.Before != before {
		panic(fmt.Sprintf("%v: a write says that it replaces a ledger with %+v, which has %+v", key, entry.Before, before))
	}
	m.version++
	m.writes++
	if key.Owner == "" {
		m.requests, m.totals = totals.Requests, totals
	} else {
		m.ofKey = totals
	}
	version := strconv.Itoa(m.version)
	m.entries[key] = store.Entry{Ledger: entry.Ledger.Clone(), Version: version}
	if m.after {
		m.after = false
		return "", errUnavailable
	}
	return version, nil
}
