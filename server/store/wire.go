package store

import (
	"cmp"
	"maps"
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// known returns the content hash of each group, by the records as they came over the wire.
// The caller holds writing.
func (s *Store) known() []*syncv1.KnownGroup {
	keys := map[*groupRecord][]*syncv1.Key{}
	for _, key := range s.keys {
		keys[key.group] = append(keys[key.group], key.wire())
	}
	known := make([]*syncv1.KnownGroup, 0, len(s.groups))
	for identity, group := range s.groups {
		known = append(known, &syncv1.KnownGroup{Group: identity, Hash: syncv1.ContentHash(group.wire, keys[group])})
	}
	slices.SortFunc(known, func(a, b *syncv1.KnownGroup) int { return cmp.Compare(a.GetGroup(), b.GetGroup()) })
	return known
}

// wire makes the record again from which the key was made.
func (k *keyRecord) wire() *syncv1.Key {
	wire := &syncv1.Key{
		Id: k.ID, Group: k.group.compiled.Identity, Name: k.Name, Suspended: k.Suspended,
		Projects: k.Scope.Projects, Permissions: k.Scope.Permissions,
	}
	if k.Rate != (decision.RateLimit{}) {
		wire.Rate = &syncv1.RateLimit{PerSecond: k.Rate.PerSecond, Burst: k.Rate.Burst}
	}
	for i := range k.versions {
		v := &k.versions[i]
		wire.Versions = append(wire.Versions, &syncv1.Version{
			Digest: v.digest[:], ExpiresAtMs: v.ExpiresAtMillis, RetiresAtMs: v.RetiresAtMillis, Revoked: v.Revoked,
		})
	}
	return wire
}

// recordsPerUpdate keeps the updates of a dump small.
const recordsPerUpdate = 512

// dump tells the whole store as the updates of a catch-up. If one is going on, it begins
// again in the dump where the store is in it, so that the sweep to come finds what it must.
// The caller holds writing.
func (s *Store) dump(emit func(*syncv1.Update) error) error {
	var groups []*syncv1.Group
	for _, group := range s.groups {
		groups = append(groups, group.wire)
	}
	for chunk := range slices.Chunk(groups, recordsPerUpdate) {
		if err := emit(&syncv1.Update{Groups: chunk}); err != nil {
			return err
		}
	}
	if err := s.dumpKeys(emit, func(*keyRecord) bool { return true }); err != nil {
		return err
	}
	if err := emit(&syncv1.Update{Revision: s.revision.Load(), CaughtUp: s.synced.Load()}); err != nil {
		return err
	}
	if len(s.renewed) == 0 {
		return nil
	}
	announcement := &syncv1.Update{Revision: s.revision.Load(), ReplacedGroups: slices.Collect(maps.Keys(s.renewed))}
	if err := emit(announcement); err != nil {
		return err
	}
	return s.dumpKeys(emit, func(key *keyRecord) bool {
		pass, ok := s.renewed[key.group.compiled.Identity]
		return ok && key.pass >= pass
	})
}

// dumpKeys emits the keys that are wanted.
func (s *Store) dumpKeys(emit func(*syncv1.Update) error, wanted func(*keyRecord) bool) error {
	update := &syncv1.Update{Revision: s.revision.Load()}
	for _, key := range s.keys {
		if !wanted(key) {
			continue
		}
		update.Keys = append(update.Keys, key.wire())
		if len(update.Keys) == recordsPerUpdate {
			if err := emit(update); err != nil {
				return err
			}
			update.Keys = update.Keys[:0]
		}
	}
	return emit(update)
}
