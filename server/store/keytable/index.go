package keytable

// bucketBits splits an index, so that growing it means to copy a small part at a time: with
// a million keys that is 16 KB, with ten million 128 KB.
const bucketBits = 10

// minSlots is what a bucket begins with.
const minSlots = 4

// index finds the numbers of records by hashes: open addressing with linear probing. It
// knows nothing of what is hashed. A removal closes the gap that it leaves, so that nothing
// of what was removed ever slows a search.
type index struct {
	buckets [1 << bucketBits]bucket
	len     int
}

// bucket has a power of two of slots, of which at most three quarters are used.
type bucket struct {
	slots []slot
	used  int
}

// slot is empty where its number is 0. The part of the hash is more than what its place in
// the bucket is made from, so that few records are looked at in vain.
type slot struct {
	hash   uint32
	number uint32
}

func (x *index) bucket(hash uint64) *bucket { return &x.buckets[hash>>(64-bucketBits)] }

// cursor goes through what may be meant by a hash.
type cursor struct {
	slots []slot
	at    uint32
	hash  uint32
}

func (x *index) seek(hash uint64) cursor {
	return cursor{slots: x.bucket(hash).slots, at: uint32(hash), hash: uint32(hash)}
}

// next returns the number of the next record whose hash is the same, 0 if there is none.
func (c *cursor) next() uint32 {
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

// replace has the number that next has just returned stand for another record.
func (c *cursor) replace(number uint32) {
	c.slots[(c.at-1)&uint32(len(c.slots)-1)].number = number
}

func (x *index) insert(hash uint64, number uint32) {
	b := x.bucket(hash)
	if 4*(b.used+1) > 3*len(b.slots) {
		b.grow()
	}
	b.put(slot{uint32(hash), number})
	b.used++
	x.len++
}

func (b *bucket) grow() {
	old := b.slots
	b.slots = make([]slot, max(minSlots, 2*len(old)))
	for _, s := range old {
		if s.number != 0 {
			b.put(s)
		}
	}
}

func (b *bucket) put(s slot) {
	mask := uint32(len(b.slots) - 1)
	at := s.hash & mask
	for b.slots[at].number != 0 {
		at = (at + 1) & mask
	}
	b.slots[at] = s
}

// remove forgets that the hash stands for the record, if it does.
func (x *index) remove(hash uint64, number uint32) {
	b := x.bucket(hash)
	if len(b.slots) == 0 {
		return
	}
	mask := uint32(len(b.slots) - 1)
	gap := uint32(hash) & mask
	for b.slots[gap].number != number {
		if b.slots[gap].number == 0 {
			return
		}
		gap = (gap + 1) & mask
	}
	for at := (gap + 1) & mask; b.slots[at].number != 0; at = (at + 1) & mask {
		// What follows moves into the gap unless that is before where its search begins.
		if home := b.slots[at].hash & mask; (at-home)&mask >= (at-gap)&mask {
			b.slots[gap] = b.slots[at]
			gap = at
		}
	}
	b.slots[gap] = slot{}
	b.used--
	x.len--
}
