// Package store keeps the ledgers of groups, and of keys with a quota of their own: in objects, or in Redis.
package store

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

var (
	// ErrConflict is returned when another writer has written since: load again.
	ErrConflict = errors.New("the ledger was changed in the meantime")
	// ErrNoGroup is returned when the Group does not exist, or was deleted.
	ErrNoGroup = errors.New("there is no such Group")
	// ErrNoKey is returned when the ApiKey does not exist, or was deleted.
	ErrNoKey = errors.New("there is no such ApiKey")
	// ErrFull is returned when a ledger has more accounts than the store can take.
	ErrFull = errors.New("too many validation servers in one period")
)

// Key names a ledger.
type Key struct {
	Group string // namespace/name
	// UID is that of the Group, in a store that knows none: Published sets it, so that a Group that is deleted and made again begins with
	// nothing. It is empty everywhere else, and for the quota of a key, which may outlive its Group.
	UID types.UID
	// Owner is the id of the key of the Group whose quota it is for; empty for the Group's.
	Owner string
	// Period is one of the Group's quotas.
	Period quotaledger.Period
}

// Entry is a ledger as it was loaded or saved.
type Entry struct {
	Ledger *quotaledger.Ledger
	// Version is the version that the store gave it.
	Version string
	// Before is the total of the ledger that has this version, and zero for one that was only loaded. So Save knows by how much the
	// ledger grows: also if it began with what is known to be used, which is nothing new.
	Before quotaledger.Counters
}

// growth returns what the ledger has in addition to the one that is replaced.
func (e *Entry) growth() usageseries.HourUse {
	total := e.Ledger.Total()
	return usageseries.HourUse{
		Requests: total.Requests - min(total.Requests, e.Before.Requests), Bytes: total.Bytes - min(total.Bytes, e.Before.Bytes),
	}
}

// Totals are the sums of a ledger that are shown to people.
type Totals = usageseries.Totals

// Store keeps ledgers. It is safe for concurrent use. After Save has returned nil, the ledger survives a crash as far as the
// store guarantees that.
type Store interface {
	// Load returns the ledger. One that was never saved is empty, unless it is known otherwise how much was used. Errors:
	// ErrNoGroup, ErrNoKey.
	Load(ctx context.Context, key Key) (Entry, error)
	// Save replaces the ledger if it has the entry's version, and returns the new version. Errors: ErrConflict, ErrNoGroup,
	// ErrNoKey, ErrFull.
	Save(ctx context.Context, key Key, entry Entry, totals Totals) (version string, err error)
}
