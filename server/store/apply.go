package store

import (
	"cmp"
	"log/slog"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

// Begin starts a new stream and returns the groups that the store has already. Groups that the last stream has announced to
// replace, and not finished, are no longer announced.
func (s *Store) Begin() ([]*syncv1.KnownGroup, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.beginStream()
	if s.journal != nil {
		if err := s.journal.append(nil); err != nil {
			return nil, s.journalFailed(err)
		}
	}
	return s.known(), nil
}

// beginStream forgets what the last stream has announced.
func (s *Store) beginStream() {
	clear(s.renewed)
	clear(s.pending)
}

// Apply applies an update. When it returns nil, the update is in force and, if there is a journal, outlives the process. A
// record that cannot be used is left out, so that the others are still applied: nothing is allowed because of it. Rejections has it
// then.
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

// apply follows the order that the protocol prescribes. The caller holds writing.
func (s *Store) apply(update *syncv1.Update) {
	s.applyBeforeKeys(update)
	for _, key := range update.GetKeys() {
		s.putMessage(key)
	}
	s.applyAfterKeys(update)
}

// applyEncoded is apply for an encoded update, as it is in the journal. It does not decode keys into messages.
func (s *Store) applyEncoded(encoded []byte) error {
	var rest []byte
	for left := encoded; len(left) > 0; {
		number, kind, n := protowire.ConsumeField(left)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if number != updateKeys || kind != protowire.BytesType {
			rest = append(rest, left[:n]...)
		}
		left = left[n:]
	}
	update := &syncv1.Update{}
	if err := proto.Unmarshal(rest, update); err != nil {
		return err
	}
	s.applyBeforeKeys(update)
	for left := encoded; len(left) > 0; {
		number, kind, start := protowire.ConsumeTag(left)
		n := protowire.ConsumeFieldValue(number, kind, left[start:])
		if number == updateKeys && kind == protowire.BytesType {
			key, _ := protowire.ConsumeBytes(left[start:])
			if err := s.putEncoded(key); err != nil {
				return err
			}
		}
		left = left[start+n:]
	}
	s.applyAfterKeys(update)
	return nil
}

func (s *Store) applyBeforeKeys(update *syncv1.Update) {
	if secret := update.GetDigestSecret(); len(secret) > 0 {
		if made, err := keyformat.NewDigestSecret(secret); err != nil {
			s.reject("digest secret", "", err)
			s.rejected.reason() // it is of no record
		} else {
			s.secret.Store(made)
		}
	}
	s.announce(update.GetReplacedGroups())
	s.deleteGroups(update.GetDeletedGroups())
	for _, id := range update.GetDeletedKeys() {
		s.deleteKey(id)
	}
	for _, group := range update.GetGroups() {
		s.putGroup(group)
	}
}

func (s *Store) applyAfterKeys(update *syncv1.Update) {
	for _, of := range update.GetVersions() {
		s.setVersion(of.GetGroup(), of.GetVersion())
	}
	if update.GetCaughtUp() {
		s.sweep()
		s.synced.Store(true)
	}
	s.revision.Store(update.GetRevision())
}

// announce begins to replace groups: their keys stay until the sweep.
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
	versions := s.pending // those of groups that are being swept are not to be touched by that
	s.pending = map[string][]byte{}
	for key := range s.keys.All() {
		group := s.scopes.numbered[key.Scope].group.compiled
		if pass, ok := s.renewed[group.Identity]; ok && key.Pass < pass {
			s.deleteKey(key.ID)
		}
	}
	s.rejected.sweep(s.renewed)
	clear(s.renewed)
	for identity, version := range versions {
		s.setVersion(identity, version)
	}
}

// setVersion sets the version of a group that the store has completely, or, while the group is being replaced, has once the keys
// are swept that were not sent again.
func (s *Store) setVersion(identity string, version []byte) {
	if _, replaced := s.renewed[identity]; replaced {
		s.pending[identity] = version
	} else if group, ok := s.groups[identity]; ok {
		group.version = version
	}
}

// touch takes the version of a group of which a record changes: the next version says what the group has then.
func (s *Store) touch(group *groupRecord) {
	group.version = nil
	if len(s.pending) > 0 {
		delete(s.pending, group.compiled.Identity)
	}
}

func (s *Store) deleteGroups(identities []string) {
	deleted, keys := map[*groupRecord]bool{}, 0
	for _, identity := range identities {
		if group, ok := s.groups[identity]; ok {
			deleted[group] = true
			keys += group.keys
			s.mu.Lock()
			delete(s.groups, identity)
			s.mu.Unlock()
			s.unlist(group.compiled)
			s.unclaim(group, group.compiled, nil)
		}
		delete(s.renewed, identity)
		delete(s.pending, identity)
		s.rejected.deleteGroup(identity)
	}
	if keys == 0 {
		return
	}
	for key := range s.keys.All() {
		if deleted[s.scopes.numbered[key.Scope].group] {
			s.deleteKey(key.ID)
		}
	}
}

func (s *Store) putGroup(wire *syncv1.Group) {
	compiled := s.compile(wire)
	record, known := s.groups[wire.Identity()]
	if !known {
		record = &groupRecord{}
	}
	before := record.compiled
	s.claim(record, before, compiled)
	s.mu.Lock()
	record.wire, record.compiled = wire, compiled
	s.groups[wire.Identity()] = record
	s.mu.Unlock()
	s.touch(record)
	s.rejected.putGroup(wire.Identity(), s.rejected.reason())
	s.list(compiled)
	if known {
		s.unlist(before)
		s.unclaim(record, before, compiled)
	}
}

func (s *Store) putMessage(wire *syncv1.Key) {
	if err := cmp.Or(unknownInKey(wire), checkURLSecrets(wire)); err != nil {
		s.rejectKey(wire.GetId(), wire.GetGroup(), err)
		return
	}
	for range s.record.set(wire) {
		s.reject("version of key", wire.GetId(), keyformat.ErrDigest)
	}
	s.putKey(&s.record)
}

func (s *Store) putEncoded(encoded []byte) error {
	if s.record.decode(encoded) {
		s.putKey(&s.record)
		return nil
	}
	wire := &syncv1.Key{}
	if err := proto.Unmarshal(encoded, wire); err != nil {
		return err
	}
	s.putMessage(wire)
	return nil
}

func (s *Store) putKey(record *keyRecord) {
	of, err := s.scopeOf(record)
	if err != nil {
		scope, _ := decodeScope(record.scope)
		s.rejectKey(string(record.id), scope.GetGroup(), err)
		return
	}
	s.touch(of.group)
	of.group.keys++
	of.keys++
	earlier, replaces := s.keys.Get(string(record.id))
	if replaces {
		s.uncount(earlier)
	}
	key := keytable.Key{ID: string(record.id), Scope: of.number, Suspended: record.suspended, Pass: s.pass}
	s.mu.Lock()
	s.dropURLSecrets(key.ID)
	s.keys.Put(key, record.versions)
	s.addURLSecrets(record.versions)
	s.mu.Unlock()
	if replaces {
		s.dropUnused(earlier.Scope)
	}
	if s.rejected.faults+len(s.rejected.keys) > 0 {
		s.rejected.putKey(key.ID, of.group.compiled.Identity, s.rejected.reason(), s.pass)
	}
}

// rejectKey leaves a key out. What was known of it is not in force any more.
func (s *Store) rejectKey(id, group string, err error) {
	s.reject("key", id, err)
	reason := s.rejected.reason()
	s.deleteKey(id)
	if known := s.groups[group]; known != nil {
		s.touch(known)
	}
	if len(id) > 0 && len(id) <= keytable.MaxID { // no other has an id that could be reported
		s.rejected.putKey(id, group, reason, s.pass)
	}
}

func (s *Store) deleteKey(id string) {
	s.rejected.putKey(id, "", "", 0)
	key, ok := s.keys.Get(id)
	if !ok {
		return
	}
	s.uncount(key)
	s.mu.Lock()
	s.dropURLSecrets(id)
	s.keys.Delete(id)
	s.mu.Unlock()
	s.dropUnused(key.Scope)
}

// uncount subtracts a key that is about to be removed from the numbers of keys.
func (s *Store) uncount(key keytable.Key) {
	of := s.scopes.numbered[key.Scope]
	s.touch(of.group)
	of.group.keys--
	of.keys--
}

// reject logs and counts a record, or a part of one, that cannot be used.
func (s *Store) reject(kind, name string, err error) {
	s.metrics.rejected.Inc()
	s.rejected.add(kind, name, err)
	s.log.Error("record left out: the manager sent one that this validator cannot use; run the same release of both",
		slog.String("kind", kind), slog.String("name", name), slog.Any("error", err))
}
