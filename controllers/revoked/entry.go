// Package revoked stores the digests of keys that were revoked or have ended, even after their ApiKeys were deleted. Until the key
// would have expired, a restore or an import of its text is refused, no matter who tries it.
package revoked

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Cause is why a text must not be accepted again. A greater value is more serious.
type Cause uint8

// Causes.
const (
	// Deleted is the cause for a text that its ApiKey had when it was deleted, which revokes it. The platform may allow a
	// restore of it.
	Deleted Cause = 1
	// Ended is the cause for a text that was revoked or retired: it is never accepted again.
	Ended Cause = 2
)

// Entry is a text that must not be accepted again.
type Entry struct {
	Digest keyformat.Digest
	// Until is when the key would have expired; zero is never.
	Until time.Time
	Cause Cause
}

// idBytes of a digest distinguish it from all others: digests are random, and nobody can choose them.
const idBytes = 12

type id [idBytes]byte

func idOf(digest keyformat.Digest) id { return id(digest[:idBytes]) }

// fact is what is kept for an id.
type fact struct {
	until uint32 // Unix minutes, rounded up; 0 is never
	cause Cause
}

const never = 0

func factOf(entry Entry) fact {
	f := fact{cause: entry.Cause}
	if !entry.Until.IsZero() {
		// In minutes, a uint32 lasts for 8,000 years.
		f.until = uint32(max(1, (entry.Until.Unix()+59)/60))
	}
	return f
}

func (f fact) expired(now time.Time) bool { return f.until != never && now.Unix() >= int64(f.until)*60 }

// covers reports whether f says all that g does.
func (f fact) covers(g fact) bool { return f.with(g) == f }

// with returns what follows from both.
func (f fact) with(g fact) fact {
	f.cause = max(f.cause, g.cause)
	if f.until == never || g.until == never {
		f.until = never
	} else {
		f.until = max(f.until, g.until)
	}
	return f
}

// The format of entries: one byte for the version, then for each entry its id, its minute (big-endian) and its cause.
const (
	formVersion = 1
	entryBytes  = idBytes + 4 + 1
)

var errForm = errors.New("not in the form of this release")

func encode(ids []id, facts map[id]fact) []byte {
	out := make([]byte, 1, 1+len(ids)*entryBytes)
	out[0] = formVersion
	for _, id := range ids {
		f := facts[id]
		out = append(out, id[:]...)
		out = binary.BigEndian.AppendUint32(out, f.until)
		out = append(out, byte(f.cause))
	}
	return out
}

func decode(encoded []byte, each func(id, fact)) error {
	if len(encoded) == 0 || encoded[0] != formVersion || (len(encoded)-1)%entryBytes != 0 {
		return errForm
	}
	for entry := range slices.Chunk(encoded[1:], entryBytes) {
		each(id(entry[:idBytes]), fact{until: binary.BigEndian.Uint32(entry[idBytes:]), cause: Cause(entry[entryBytes-1])})
	}
	return nil
}
