package store

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

// known returns the version of each group. The caller holds writing.
func (s *Store) known() []*syncv1.KnownGroup {
	known := make([]*syncv1.KnownGroup, 0, len(s.groups))
	for identity, group := range s.groups {
		known = append(known, &syncv1.KnownGroup{Group: identity, Version: group.version})
	}
	slices.SortFunc(known, func(a, b *syncv1.KnownGroup) int { return cmp.Compare(a.GetGroup(), b.GetGroup()) })
	return known
}

// pieceBytes is about how large one update of a dump is; a single record may exceed it.
const pieceBytes = 64 << 10

// piece is an encoded update that is being assembled.
type piece struct {
	buf  []byte
	emit func(update []byte) error
}

// add adds an encoded record.
func (p *piece) add(field protowire.Number, record []byte) error {
	p.buf = appendField(p.buf, field, record)
	if len(p.buf) < pieceBytes {
		return nil
	}
	return p.flush()
}

func (p *piece) flush() error {
	err := p.emit(p.buf)
	p.buf = p.buf[:0]
	return err
}

// end adds the fields that are not records, and flushes the piece.
func (p *piece) end(update *syncv1.Update) (err error) {
	if p.buf, err = (proto.MarshalOptions{}).MarshalAppend(p.buf, update); err != nil {
		return err
	}
	return p.flush()
}

// dump emits the whole store as the encoded updates of a catch-up. Groups with rejected records have no version in it, because the
// dump lacks these records: a process that starts from it is sent the groups again, and may be able to use them. If a catch-up is in progress, the dump ends with its
// announcement and the keys that it has sent so far, so that the later sweep keeps the right keys. The caller holds
// writing.
func (s *Store) dump(emit func(update []byte) error) error {
	p := &piece{emit: emit}
	var record []byte
	if secret := s.secret.Load(); secret != nil {
		if err := p.end(&syncv1.Update{Revision: s.revision.Load(), DigestSecret: secret.Bytes()}); err != nil {
			return err
		}
	}
	for _, group := range s.groups {
		var err error
		if record, err = (proto.MarshalOptions{}).MarshalAppend(record[:0], group.wire); err != nil {
			return err
		}
		if err := p.add(updateGroups, record); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	if err := s.dumpKeys(p, func(keytable.Key) bool { return true }); err != nil {
		return err
	}
	if err := s.dumpVersions(p, func(group *groupRecord) []byte { return group.version }); err != nil {
		return err
	}
	revision := s.revision.Load()
	if err := p.end(&syncv1.Update{Revision: revision, CaughtUp: s.synced.Load()}); err != nil || len(s.renewed) == 0 {
		return err
	}
	if err := p.end(&syncv1.Update{Revision: revision, ReplacedGroups: slices.Collect(maps.Keys(s.renewed))}); err != nil {
		return err
	}
	err := s.dumpKeys(p, func(key keytable.Key) bool {
		pass, ok := s.renewed[s.scopes.numbered[key.Scope].group.compiled.Identity]
		return ok && key.Pass >= pass
	})
	if err != nil {
		return err
	}
	if err := s.dumpVersions(p, func(group *groupRecord) []byte { return s.pending[group.compiled.Identity] }); err != nil {
		return err
	}
	return p.end(&syncv1.Update{Revision: revision})
}

// dumpVersions adds the versions of groups that have no rejected records.
func (s *Store) dumpVersions(p *piece, of func(*groupRecord) []byte) error {
	incomplete := s.rejected.incomplete()
	for identity, group := range s.groups {
		version := of(group)
		if len(version) == 0 || incomplete[identity] {
			continue
		}
		encoded, err := proto.Marshal(&syncv1.GroupVersion{Group: identity, Version: version})
		if err != nil {
			return err
		}
		if err := p.add(updateVersions, encoded); err != nil {
			return err
		}
	}
	return p.flush()
}

// dumpKeys adds the keys that the function selects.
func (s *Store) dumpKeys(p *piece, selected func(keytable.Key) bool) error {
	for key, versions := range s.keys.All() {
		if !selected(key) {
			continue
		}
		s.encoded = s.encode(s.encoded[:0], key, versions)
		if err := p.add(updateKeys, s.encoded); err != nil {
			return err
		}
	}
	return nil
}

// encode appends the encoding of the record that the key was made from.
func (s *Store) encode(buf []byte, key keytable.Key, versions []keytable.Version) []byte {
	of := s.scopes.numbered[key.Scope]
	s.fillURLSecrets(versions)
	return encodeKey(buf, key.ID, of.encoded[:of.rateAt], of.encoded[of.rateAt:], key.Suspended, versions)
}
