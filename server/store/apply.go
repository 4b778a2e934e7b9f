package store

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/api/keyformat"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// Begin starts a new stream and returns what the store holds already. What the last stream
// announced to replace, and did not finish, is forgotten.
func (s *Store) Begin() ([]*syncv1.KnownGroup, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	clear(s.renewed)
	if s.journal != nil {
		if err := s.journal.append(nil); err != nil {
			return nil, s.journalFailed(err)
		}
	}
	return s.known(), nil
}

// Apply brings the store up to date. When it returns nil the update is in force and, where
// a journal is kept, outlives the process. A record that cannot be used is left out, so
// that it does not take others down with it: nothing is allowed by it.
func (s *Store) Apply(update *syncv1.Update) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.apply(update)
	if s.journal == nil {
		return nil
	}
	if err := s.journal.append(update); err != nil {
		return s.journalFailed(err)
	}
	if s.journal.outgrown() {
		if err := s.compact(); err != nil {
			return s.journalFailed(err)
		}
	}
	return nil
}

// apply follows the order that the protocol gives. The caller holds writing.
func (s *Store) apply(update *syncv1.Update) {
	s.announce(update.GetReplacedGroups())
	s.deleteGroups(update.GetDeletedGroups())
	for _, id := range update.GetDeletedKeys() {
		s.deleteKey(id)
	}
	for _, group := range update.GetGroups() {
		s.putGroup(group)
	}
	for _, key := range update.GetKeys() {
		s.putKey(key)
	}
	if update.GetCaughtUp() {
		s.sweep()
		s.synced.Store(true)
	}
	s.revision.Store(update.GetRevision())
}

// announce starts to replace groups: their keys stay until the sweep.
func (s *Store) announce(groups []string) {
	if len(groups) == 0 {
		return
	}
	s.pass++
	for _, identity := range groups {
		s.renewed[identity] = s.pass
	}
}

// sweep removes the keys of replaced groups that were not sent again.
func (s *Store) sweep() {
	if len(s.renewed) == 0 {
		return
	}
	for id, key := range s.keys {
		if pass, ok := s.renewed[key.group.compiled.Identity]; ok && key.pass < pass {
			s.deleteKey(id)
		}
	}
	clear(s.renewed)
}

func (s *Store) deleteGroups(identities []string) {
	if len(identities) == 0 {
		return
	}
	gone := map[*groupRecord]bool{}
	for _, identity := range identities {
		if group, ok := s.groups[identity]; ok {
			gone[group] = true
			s.mu.Lock()
			s.origins.remove(group, group.compiled)
			s.mu.Unlock()
			delete(s.groups, identity)
		}
		delete(s.renewed, identity)
	}
	for id, key := range s.keys {
		if gone[key.group] {
			s.deleteKey(id)
		}
	}
}

func (s *Store) putGroup(wire *syncv1.Group) {
	compiled := s.compile(wire)
	if record, ok := s.groups[wire.Identity()]; ok {
		s.mu.Lock()
		s.origins.remove(record, record.compiled)
		record.wire, record.compiled = wire, compiled
		s.origins.add(record, compiled)
		s.mu.Unlock()
		return
	}
	record := &groupRecord{wire: wire, compiled: compiled, scopes: map[string]*decision.Scope{}}
	s.groups[wire.Identity()] = record
	s.mu.Lock()
	s.origins.add(record, compiled)
	s.mu.Unlock()
}

func (s *Store) putKey(wire *syncv1.Key) {
	group, ok := s.groups[wire.GetGroup()]
	if !ok {
		s.reject("key", wire.GetId(), errors.New("its group is not known"))
		s.deleteKey(wire.GetId())
		return
	}
	record := &keyRecord{
		Key: decision.Key{
			ID: wire.GetId(), Name: wire.GetName(), Suspended: wire.GetSuspended(),
			Scope: group.scope(wire.GetProjects(), wire.GetPermissions()),
			Rate:  rateOf(wire.GetRate()),
		},
		group: group,
		pass:  s.pass,
	}
	for _, v := range wire.GetVersions() {
		if len(v.GetDigest()) != len(keyformat.Digest{}) {
			s.reject("version of key", wire.GetId(), keyformat.ErrDigest)
			continue
		}
		record.versions = append(record.versions, version{
			digest:  keyformat.Digest(v.GetDigest()),
			Version: decision.Version{ExpiresAtMillis: v.GetExpiresAtMs(), RetiresAtMillis: v.GetRetiresAtMs(), Revoked: v.GetRevoked()},
		})
	}
	record.versions = slices.Clip(record.versions)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.keys[record.ID])
	s.keys[record.ID] = record
	for i := range record.versions {
		s.digests[record.versions[i].digest] = record
	}
}

func (s *Store) deleteKey(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.keys[id])
	delete(s.keys, id)
}

// forget removes the digests of a key, if there is one. The caller holds mu.
func (s *Store) forget(key *keyRecord) {
	if key == nil {
		return
	}
	for i := range key.versions {
		if digest := key.versions[i].digest; s.digests[digest] == key {
			delete(s.digests, digest)
		}
	}
}

// scope returns one Scope for all keys of the group that have the same, of which there are
// few.
func (g *groupRecord) scope(projects, permissions []string) *decision.Scope {
	id := strings.Join(projects, ",") + ";" + strings.Join(permissions, ",")
	scope, ok := g.scopes[id]
	if !ok {
		scope = &decision.Scope{Projects: projects, Permissions: permissions}
		g.scopes[id] = scope
	}
	return scope
}

// reject logs and counts a record that cannot be used.
func (s *Store) reject(kind, name string, err error) {
	s.metrics.rejected.Inc()
	s.log.Error("record left out: the manager sent what this validator cannot use; run the same release of both",
		slog.String("kind", kind), slog.String("name", name), slog.Any("error", err))
}
