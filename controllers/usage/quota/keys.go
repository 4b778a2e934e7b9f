package quota

import (
	"errors"

	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var (
	errNoKey    = errors.New("the key has no quota of its own")
	errKeyBytes = errors.New("a key has no quota of bytes")
)

// owner is what has quotas: a group or, with its id, a key of it. See docs/design/0049-key-quotas.md.
type owner struct{ group, key string }

func ownerOf(key store.Key) owner { return owner{key.Group, key.Owner} }

func (o owner) ledger(period quotaledger.Period) store.Key {
	return store.Key{Group: o.group, Owner: o.key, Period: period}
}

// limitsOf returns the limits of the owner of a ledger, if they are known. A key has a quota of requests, in the periods of its
// group. The caller holds the lock.
func (a *Aggregator) limitsOf(key store.Key) (limits Limits, known bool) {
	limits, known = a.limits[key.Group]
	if !known || key.Owner == "" {
		return limits, known
	}
	requests, known := a.keys[ownerOf(key)]
	return Limits{Requests: requests, Schedule: limits.Schedule}, known
}

// SetKeyLimit sets how many requests a key of a group may have in a period; nil for a key without a quota of its own. What is still
// reported of a key that has none any more is recorded.
func (a *Aggregator) SetKeyLimit(group, key string, requests *uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := owner{group, key}
	if _, known := a.keys[name]; !known && requests == nil {
		return
	}
	a.keys[name] = requests
	a.changed(name)
}

// ForgetKey drops a key that was deleted.
func (a *Aggregator) ForgetKey(group, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := owner{group, key}
	if _, known := a.keys[name]; !known {
		return // nothing is counted of it: most keys have no quota, and drop looks at all that is counted
	}
	delete(a.keys, name)
	a.drop(func(of store.Key) bool { return of.Owner == key && of.Group == group })
}

// KeysRead says that all keys that there are were set. Until then, what is reported of others is left for later.
func (a *Aggregator) KeysRead() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keysRead = true
}

// isGone reports whether the owner of a ledger is a key that has no quota. The caller holds the lock.
func (a *Aggregator) isGone(key store.Key) bool {
	if key.Owner == "" || !a.keysRead {
		return false
	}
	_, known := a.keys[ownerOf(key)]
	return !known
}
