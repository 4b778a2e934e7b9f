package keytable

import (
	"math"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// record is a key with its first version, or a further version of a key. It is as large as a cache line, so that reading
// one waits for memory once.
type record struct {
	digest           keyformat.Digest
	expires, retires int64
	scope            uint32 // of a further version: the number of its key
	next             uint32 // the next version of the key or, of a free record, the next free record; 0 is none
	pass             uint32
	text             uint16 // where the id begins in the text of the chunk
	length           uint8  // of the id
	flags            flags
}

// MaxID is how long the id of a key may be in bytes.
const MaxID = math.MaxUint8

// flags is 0 for a free record.
type flags uint8

const (
	isKey     flags = 1 << iota
	isVersion       // there is a version in the record
	isRevoked
	isSuspended
)

func (f flags) has(flag flags) bool { return f&flag != 0 }

func when(condition bool, flag flags) flags {
	if condition {
		return flag
	}
	return 0
}

func (r *record) setVersion(v *Version) {
	r.digest, r.expires, r.retires = v.Digest, v.ExpiresAtMillis, v.RetiresAtMillis
	r.flags = r.flags&^isRevoked | isVersion | when(v.Revoked, isRevoked)
}

func (r *record) version() decision.Version {
	return decision.Version{ExpiresAtMillis: r.expires, RetiresAtMillis: r.retires, Revoked: r.flags.has(isRevoked)}
}

// chunkRecords is how many records are allocated at a time: as many as fit their ids into one text.
const chunkRecords = maxText / (MaxID + 1)

type chunk [chunkRecords]record

// Ids begin at multiples of textUnit, so that an offset fits 16 bits.
const (
	textUnit = 4
	maxText  = textUnit << 16
)

// text has the ids of the keys of a chunk. It only grows, or is replaced by another one: strings that were returned never change.
type text struct {
	strings.Builder
	dead int // bytes of ids that no key has any more
}

func (t *text) of(r *record) string {
	at := textUnit * int(r.text)
	return t.String()[at : at+int(r.length)]
}

// add gives a record of the chunk its id.
func (t *text) add(records *chunk, r *record, id string) {
	if 2*t.dead > t.Len() || t.Len()+room(len(id)) > maxText {
		t.rebuild(records)
	}
	if t.Len() == 0 {
		t.Grow(chunkRecords * room(len(id))) // ids have similar lengths
	}
	r.text, r.length = t.write(id), uint8(len(id))
}

// write appends the id and returns its offset.
func (t *text) write(id string) uint16 {
	at := t.Len()
	t.WriteString(id)
	for t.Len()%textUnit != 0 {
		t.WriteByte(0)
	}
	return uint16(at / textUnit)
}

// room is how many bytes an id of this length takes.
func room(length int) int { return (length + textUnit - 1) / textUnit * textUnit }

// remove removes the id of a record.
func (t *text) remove(r *record) {
	t.dead += room(int(r.length))
	r.length = 0
}

// rebuild omits the dead ids. Strings that were returned belong to the former text.
func (t *text) rebuild(records *chunk) {
	earlier := t.String()
	t.Reset()
	t.Grow(len(earlier) - t.dead/2) // with some space for the next
	t.dead = 0
	for i := range records {
		if r := &records[i]; r.length > 0 {
			at := textUnit * int(r.text)
			r.text = t.write(earlier[at : at+int(r.length)])
		}
	}
}
