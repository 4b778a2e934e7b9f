// Package openhash finds numbers of records by hashes: open addressing with linear probing, without pointers. It does not
// know the records.
package openhash

// minSlots is how many slots a table begins with.
const minSlots = 4

// Table may have several numbers for a hash: the caller compares the records to find the right one. The number of slots is
// a power of two, of which at most three quarters are used. A removal closes the gap that it leaves, so removed entries
// never slow down a search.
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
	return Cursor{slots: t.slots, at: uint32(hash), hash: uint32(hash)}
}

// Next returns the number of the next record with the hash, 0 if there is none.
func (c *Cursor) Next() uint32 {
	if len(c.slots) == 0 {
		return 0
	}
	for mask := uint32(len(c.slots) - 1); ; {
		s := c.slots[c.at&mask]
		if s.number == 0 {
			return 0
		}
		c.at++
		if s.hash == c.hash {
			return s.number
		}
	}
}

// Replace replaces the number that Next has just returned.
func (c *Cursor) Replace(number uint32) {
	c.slots[(c.at-1)&uint32(len(c.slots)-1)].number = number
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
	t.slots = make([]slot, max(minSlots, 2*len(old)))
	for _, s := range old {
		if s.number != 0 {
			t.put(s)
		}
	}
}

func (t *Table) put(s slot) {
	mask := uint32(len(t.slots) - 1)
	at := s.hash & mask
	for t.slots[at].number != 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = s
}

// Remove removes the record with the hash, and reports whether it was there.
func (t *Table) Remove(hash uint64, number uint32) bool {
	if len(t.slots) == 0 {
		return false
	}
	mask := uint32(len(t.slots) - 1)
	gap := uint32(hash) & mask
	for t.slots[gap].number != number {
		if t.slots[gap].number == 0 {
			return false
		}
		gap = (gap + 1) & mask
	}
	for at := (gap + 1) & mask; t.slots[at].number != 0; at = (at + 1) & mask {
		// An entry moves into the gap unless the gap is before the slot where its search begins.
		if home := t.slots[at].hash & mask; (at-home)&mask >= (at-gap)&mask {
			t.slots[gap] = t.slots[at]
			gap = at
		}
	}
	t.slots[gap] = slot{}
	t.used--
	return true
}
