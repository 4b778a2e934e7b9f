package publish

import (
	"slices"
	"sync"
	"sync/atomic"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Imported records which keys have keyed digests, so that the secret of digests is sent to the validation servers that
// need it, and to no others. A nil Imported has none.
//
// mu guards keys and groups; groups has the number of entries of keys for each group that has any. any is
// len(keys) > 0. It is written under mu only, and read without it as a shortcut: the Projector, which alone writes, sets
// it before it publishes a record, so a server that is sent the record finds it set.
type Imported struct {
	mu     sync.RWMutex
	keys   map[string]string // group by key id
	groups map[string]int    // number of such keys
	any    atomic.Bool
}

func (i *Imported) note(record *syncv1.Key, key *v1alpha1.ApiKey) {
	if i == nil {
		return
	}
	keyed := slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool {
		read, err := keyformat.ReadDigest(v.Digest)
		return err == nil && read.SecretID != ""
	})
	if !keyed {
		i.forget(record.GetId())
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(record.GetId())
	if i.keys == nil {
		i.keys, i.groups = map[string]string{}, map[string]int{}
	}
	i.keys[record.GetId()] = record.GetGroup()
	i.groups[record.GetGroup()]++
	i.any.Store(true)
}

func (i *Imported) forget(id string) {
	if i == nil || !i.any.Load() {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(id)
}

func (i *Imported) drop(id string) {
	group, is := i.keys[id]
	if !is {
		return
	}
	delete(i.keys, id)
	if i.groups[group]--; i.groups[group] == 0 {
		delete(i.groups, group)
	}
	i.any.Store(len(i.keys) > 0)
}

// In reports whether one of the keys of an update has a keyed digest, or, for the update that ends a catch-up, a key of
// any group that the server serves.
func (i *Imported) In(update *syncv1.Update, serves func(group string) bool) bool {
	if i == nil || !i.any.Load() {
		return false
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, key := range update.GetKeys() {
		if _, is := i.keys[key.GetId()]; is {
			return true
		}
	}
	if update.GetCaughtUp() {
		for group := range i.groups {
			if serves(group) {
				return true
			}
		}
	}
	return false
}
