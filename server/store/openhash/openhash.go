// Package openhash finds numbers of records by hashes: open addressing with linear probing, without pointers. It does not
// know the records.
package openhash

const (
	// minSlots is how many slots a table begins with.
	minSlots = 4
	// doubled is below how many slots a table doubles when it grows. Larger ones grow by a quarter, so that at least three fifths of
	// the slots are used.
	doubled = 64
)

// Table may have several numbers for a hash: the caller compares the records to find the right one. At most three quarters of
// the slots are used. A hash selects a slot by its size, not by its lowest bits, so that there may be any number of slots. A removal closes
// the gap that it leaves, so removed entries never slow down a search.
//
// It uses the lower 32 bits of a hash. Its zero value is empty. It may be used by one writer or, while there is none, by
// any number of readers.
type Table struct {
	slots []slot
	used  int
}

// slot is empty if its number is 0. It has more bits of the hash than select the slot, so that few records are compared in vain.
type slot struct {
	hash   uint32
	number uint32
}

// Cursor iterates over the records with a hash, while the table does not change.
type Cursor struct {
	slots []slot
	at    uint32
	hash  uint32
}

// Seek returns a cursor before the first record with the hash.
func (t *Table) Seek(hash uint64) Cursor {
	return Cursor{slots: t.slots, at: t.home(uint32(hash)), hash: uint32(hash)}
}

// home returns the slot where the search for a hash begins.
func (t *Table) home(hash uint32) uint32 { return uint32(uint64(hash) * uint64(len(t.slots)) >> 32) }

// next returns the slot after one, and before returns the one before it; the first one comes after the last.
func next(slots []slot, at uint32) uint32 {
	if at++; int(at) < len(slots) {
		return at
	}
	return 0
}

func before(slots []slot, at uint32) uint32 {
	if at == 0 {
		at = uint32(len(slots))
	}
	return at - 1
}

// steps returns how many slots a search goes on from one to another.
func (t *Table) steps(from, to uint32) uint32 {
	if to < from {
		to += uint32(len(t.slots))
	}
	return to - from
}

// Next returns the number of the next record with the hash, 0 if there is none.
func (c *Cursor) Next() uint32 {
	if len(c.slots) == 0 {
		return 0
	}
	for {
		s := c.slots[c.at]
		if s.number == 0 {
			return 0
		}
		c.at = next(c.slots, c.at)
		if s.hash == c.hash {
			return s.number
		}
	}
}

// Replace replaces the number that Next has just returned.
func (c *Cursor) Replace(number uint32) {
	c.slots[before(c.slots, c.at)].number = number
}

// Insert adds a record with the hash. Its number is not 0.
func (t *Table) Insert(hash uint64, number uint32) {
	if 4*(t.used+1) > 3*len(t.slots) {
		t.grow()
	}
	t.put(slot{uint32(hash), number})
	t.used++
}

func (t *Table) grow() {
	old := t.slots
	n := max(minSlots, 2*len(old))
	if len(old) >= doubled {
		n = len(old) + len(old)/4
	}
	t.slots = make([]slot, n)
	for _, s := range old {
		if s.number != 0 {
			t.put(s)
		}
	}
}

func (t *Table) put(s slot) {
	at := t.home(s.hash)
	for t.slots[at].number != 0 {
		at = next(t.slots, at)
	}
	t.slots[at] = s
}

// Remove removes the record with the hash, and reports whether it was there.
func (t *Table) Remove(hash uint64, number uint32) bool {
	if len(t.slots) == 0 {
		return false
	}
	gap := t.home(uint32(hash))
	for t.slots[gap].number != number {
		if t.slots[gap].number == 0 {
			return false
		}
		gap = next(t.slots, gap)
	}
	for at := next(t.slots, gap); t.slots[at].number != 0; at = next(t.slots, at) {
		// An entry moves into the gap unless the gap is before the slot where its search begins.
		if t.steps(t.home(t.slots[at].hash), at) >= t.steps(gap, at) {
			t.slots[gap] = t.slots[at]
			gap = at
		}
	}
	t.slots[gap] = slot{}
	t.used--
	return true
}
