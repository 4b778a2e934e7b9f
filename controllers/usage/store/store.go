// Package store keeps the ledgers of groups: in the status of their Groups, or in Redis.
package store

import (
	"context"
	"errors"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var (
	// ErrConflict says that somebody else has written since: load again.
	ErrConflict = errors.New("the ledger has changed meanwhile")
	// ErrNoGroup says that there is no such Group, or no longer.
	ErrNoGroup = errors.New("there is no such Group")
	// ErrFull says that a ledger has more accounts than the store takes.
	ErrFull = errors.New("too many validation servers in one month")
)

// Key names a ledger.
type Key struct {
	Group string // namespace/name
	Month quotaledger.Month
}

// Entry is a ledger as it was loaded or saved.
type Entry struct {
	Ledger *quotaledger.Ledger
	// Version is the store's.
	Version string
}

// Totals are what people are shown of a ledger.
type Totals struct {
	Requests, Bytes               uint64
	OverageRequests, OverageBytes uint64
	Unconfirmed                   uint64
}

// Store keeps ledgers. It is safe for concurrent use. When Save returns nil, the ledger
// outlives a crash as far as the store promises that.
type Store interface {
	// Load returns the ledger; one that was never saved is empty. Errors: ErrNoGroup.
	Load(ctx context.Context, key Key) (Entry, error)
	// Save replaces what has the entry's version, and returns the new version. Errors:
	// ErrConflict, ErrNoGroup, ErrFull.
	Save(ctx context.Context, key Key, entry Entry, totals Totals) (version string, err error)
}
