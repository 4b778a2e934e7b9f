package usage

const (
	// minSlots is how many slots an index begins with.
	minSlots = 4
	// doubled is below how many slots an index doubles when it grows. Larger ones grow by a quarter, so that at least three fifths of
	// the slots are used.
	doubled = 64
	// numberBits are the bits of a slot that have the number; the others have a part of the hash, so that few keys are compared in vain.
	numberBits = 26
	numberMask = 1<<numberBits - 1
)

// index finds numbers of keys by the hashes of their ids: open addressing with linear probing, of which at most three quarters of the slots
// are used. The upper of the 32 bits that it uses of a hash select a slot, by its size. A removal closes the gap that it leaves.
//
// A slot has 4 bytes, and so no room for the hash, unlike one of package openhash: to grow, the index asks for the hashes again. A shard
// grows seldom, and every key in use has a slot. Its zero value is empty. The 26 bits of a number are enough for 4 billion keys in all shards.
type index struct {
	slots []uint32 // 0 is empty
	used  int
}

// slotOf has the lowest bits of the hash above the number.
func slotOf(hash uint64, number uint32) uint32 { return uint32(hash)<<numberBits | number }

// home returns the slot where the search for a hash begins.
func (x *index) home(hash uint64) int { return int(uint64(uint32(hash)) * uint64(len(x.slots)) >> 32) }

// next returns the slot after one; the first comes after the last.
func (x *index) next(at int) int {
	if at++; at < len(x.slots) {
		return at
	}
	return 0
}

// steps returns how many slots a search goes on from one to another.
func (x *index) steps(from, to int) int {
	if to < from {
		to += len(x.slots)
	}
	return to - from
}

// find returns the first number with the hash that is the one, 0 if there is none.
func (x *index) find(hash uint64, is func(number uint32) bool) uint32 {
	if len(x.slots) == 0 {
		return 0
	}
	for at := x.home(hash); x.slots[at] != 0; at = x.next(at) {
		if number := x.slots[at] & numberMask; x.slots[at] == slotOf(hash, number) && is(number) {
			return number
		}
	}
	return 0
}

// insert adds a number, which is not 0.
func (x *index) insert(hash uint64, number uint32, hashOf func(number uint32) uint64) {
	if 4*(x.used+1) > 3*len(x.slots) {
		old := x.slots
		n := max(minSlots, 2*len(old))
		if len(old) >= doubled {
			n = len(old) + len(old)/4
		}
		x.slots = make([]uint32, n)
		for _, slot := range old {
			if slot != 0 {
				x.put(hashOf(slot&numberMask), slot)
			}
		}
	}
	x.put(hash, slotOf(hash, number))
	x.used++
}

func (x *index) put(hash uint64, slot uint32) {
	at := x.home(hash)
	for x.slots[at] != 0 {
		at = x.next(at)
	}
	x.slots[at] = slot
}

// remove removes a number that is there.
func (x *index) remove(hash uint64, number uint32, hashOf func(number uint32) uint64) {
	gap := x.home(hash)
	for x.slots[gap]&numberMask != number {
		gap = x.next(gap)
	}
	for at := x.next(gap); x.slots[at] != 0; at = x.next(at) {
		// An entry moves into the gap unless the gap is before the slot where its search begins.
		if home := x.home(hashOf(x.slots[at] & numberMask)); x.steps(home, at) >= x.steps(gap, at) {
			x.slots[gap] = x.slots[at]
			gap = at
		}
	}
	x.slots[gap] = 0
	x.used--
}
