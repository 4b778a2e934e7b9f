package keytable

import (
	"math"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// record is a key with its first version, or a further version of a key. It is as large as
// a cache line, so that to look at one is to wait for memory once.
type record struct {
	digest           keyformat.Digest
	expires, retires int64
	scope            uint32 // of a further version: the number of its key
	next             uint32 // the next version of the key or, of what is free, the next that is; 0 is none
	pass             uint32
	text             uint16 // where the id begins in the text of the chunk
	length           uint8  // of the id
	flags            flags
}

// MaxID is how long the id of a key may be, in bytes.
const MaxID = math.MaxUint8

// flags are 0 for what is free.
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

// chunkRecords is how many records are allocated at a time: as many as have room for their
// ids in one text.
const chunkRecords = maxText / (MaxID + 1)

type chunk [chunkRecords]record

// Ids begin at multiples of textUnit, so that 16 bits say where.
const (
	textUnit = 4
	maxText  = textUnit << 16
)

// text holds the ids of the keys of a chunk. It only ever grows, or is replaced by another:
// strings that were handed out stay as they are.
type text struct {
	strings.Builder
	dead int // bytes that belong to no key any more
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
		t.Grow(chunkRecords * room(len(id))) // ids are about as long as each other
	}
	r.text, r.length = t.write(id), uint8(len(id))
}

// write returns where it has put the id.
func (t *text) write(id string) uint16 {
	at := t.Len()
	t.WriteString(id)
	for t.Len()%textUnit != 0 {
		t.WriteByte(0)
	}
	return uint16(at / textUnit)
}

// room is what an id of so many bytes takes.
func room(length int) int { return (length + textUnit - 1) / textUnit * textUnit }

// remove takes the id from a record.
func (t *text) remove(r *record) {
	t.dead += room(int(r.length))
	r.length = 0
}

// rebuild leaves out what is dead. What has been handed out is of the earlier text.
func (t *text) rebuild(records *chunk) {
	earlier := t.String()
	t.Reset()
	t.Grow(len(earlier) - t.dead/2) // with some room for the next
	t.dead = 0
	for i := range records {
		if r := &records[i]; r.length > 0 {
			at := textUnit * int(r.text)
			r.text = t.write(earlier[at : at+int(r.length)])
		}
	}
}
