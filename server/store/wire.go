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

// known returns the content hash of each group, by the records as they came over the wire.
// The caller holds writing.
func (s *Store) known() []*syncv1.KnownGroup {
	known := make([]*syncv1.KnownGroup, 0, len(s.groups))
	for identity, group := range s.groups {
		known = append(known, &syncv1.KnownGroup{Group: identity, Hash: group.content.Bytes()})
	}
	slices.SortFunc(known, func(a, b *syncv1.KnownGroup) int { return cmp.Compare(a.GetGroup(), b.GetGroup()) })
	return known
}

// pieceBytes is about how much is in one update of a dump; a single record may exceed it.
const pieceBytes = 64 << 10

// piece is an encoded update in the making.
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

// end adds what is no record, and ends the piece.
func (p *piece) end(update *syncv1.Update) (err error) {
	if p.buf, err = (proto.MarshalOptions{}).MarshalAppend(p.buf, update); err != nil {
		return err
	}
	return p.flush()
}

// dump tells the whole store as the encoded updates of a catch-up. If one is going on, it
// begins again in the dump where the store is in it, so that the sweep to come finds what it
// must. The caller holds writing.
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
	return p.end(&syncv1.Update{Revision: revision})
}

// dumpKeys adds the keys that are wanted.
func (s *Store) dumpKeys(p *piece, wanted func(keytable.Key) bool) error {
	for key, versions := range s.keys.All() {
		if !wanted(key) {
			continue
		}
		s.encoded = s.encode(s.encoded[:0], key, versions)
		if err := p.add(updateKeys, s.encoded); err != nil {
			return err
		}
	}
	return nil
}

// encode appends the record again from which the key was made.
func (s *Store) encode(buf []byte, key keytable.Key, versions []keytable.Version) []byte {
	of := s.scopes.numbered[key.Scope]
	return encodeKey(buf, key.ID, of.encoded[:of.rateAt], of.encoded[of.rateAt:], key.Suspended, versions)
}
