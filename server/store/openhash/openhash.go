// Package openhash finds numbers of records by hashes: open addressing with linear probing,
// without pointers. It knows nothing of what is hashed.
package openhash

// minSlots is what a table begins with.
const minSlots = 4

// Table has several numbers for a hash, if need be: who asks looks at the records which one is
// meant. It has a power of two of slots, of which at most three quarters are used. A removal
// closes the gap that it leaves, so that nothing of what was removed ever slows a search.
//
// Of a hash it needs the lower 32 bits. Its zero value is empty. It is for one writer or, while
// nobody writes, any number of readers.
type Table struct {
	slots []slot
	used  int
}

// slot is empty where its number is 0. The part of the hash is more than what its place is made
// from, so that few records are looked at in vain.
type slot struct {
	hash   uint32
	number uint32
}

// Cursor goes through what may be meant by a hash, while the table stays as it is.
type Cursor struct {
	slots []slot
	at    uint32
	hash  uint32
}

// Seek returns a cursor in front of the first record whose hash is the same.
func (t *Table) Seek(hash uint64) Cursor {
	return Cursor{slots: t.slots, at: uint32(hash), hash: uint32(hash)}
}

// Next returns the number of the next record whose hash is the same, 0 if there is none.
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

// Replace has the hash of the number that Next has just returned stand for another record.
func (c *Cursor) Replace(number uint32) {
	c.slots[(c.at-1)&uint32(len(c.slots)-1)].number = number
}

// Insert has the hash stand for one more record. Its number is not 0.
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

// Remove forgets that the hash stands for the record, and tells whether it did.
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
		// What follows moves into the gap unless that is before where its search begins.
		if home := t.slots[at].hash & mask; (at-home)&mask >= (at-gap)&mask {
			t.slots[gap] = t.slots[at]
			gap = at
		}
	}
	t.slots[gap] = slot{}
	t.used--
	return true
}
