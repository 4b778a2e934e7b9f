package usage

const (
	// minSlots is how many slots an index begins with.
	minSlots = 4
	// numberBits are the bits of a slot that have the number; the others have a part of the hash, so that few keys are compared in vain.
	numberBits = 26
	numberMask = 1<<numberBits - 1
)

// index finds numbers of keys by the hashes of their ids: open addressing with linear probing. The number of slots is a power of two, of
// which at most three quarters are used. A removal closes the gap that it leaves.
//
// A slot has 4 bytes, and so no room for the hash, unlike one of package openhash: to grow, the index asks for the hashes again. A shard
// grows seldom, and every key in use has a slot. Its zero value is empty. The 26 bits of a number are enough for 4 billion keys in all shards.
type index struct {
	slots []uint32 // 0 is empty
	used  int
}

func slotOf(hash uint64, number uint32) uint32 { return uint32(hash)&^numberMask | number }

// find returns the first number with the hash that is the one, 0 if there is none.
func (x *index) find(hash uint64, is func(number uint32) bool) uint32 {
	if len(x.slots) == 0 {
		return 0
	}
	mask := uint32(len(x.slots) - 1)
	for at := uint32(hash) & mask; x.slots[at] != 0; at = (at + 1) & mask {
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
		x.slots = make([]uint32, max(minSlots, 2*len(old)))
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
	mask := uint32(len(x.slots) - 1)
	at := uint32(hash) & mask
	for x.slots[at] != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = slot
}

// remove removes a number that is there.
func (x *index) remove(hash uint64, number uint32, hashOf func(number uint32) uint64) {
	mask := uint32(len(x.slots) - 1)
	gap := uint32(hash) & mask
	for x.slots[gap]&numberMask != number {
		gap = (gap + 1) & mask
	}
	for at := (gap + 1) & mask; x.slots[at] != 0; at = (at + 1) & mask {
		// An entry moves into the gap unless the gap is before the slot where its search begins.
		if home := uint32(hashOf(x.slots[at]&numberMask)) & mask; (at-home)&mask >= (at-gap)&mask {
			x.slots[gap] = x.slots[at]
			gap = at
		}
	}
	x.slots[gap] = 0
	x.used--
}
