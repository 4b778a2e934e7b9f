package usage

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
)

const (
	// The manager gives ids of this form to keys: idPrefix, and 80 bits in base32hex, in lower case. Other ids may have any form.
	idPrefix = 'k'
	idDigits = "0123456789abcdefghijklmnopqrstuv"
	idLength = 17
)

// packed is an id of that form.
type packed [10]byte

// pack returns false if the id has another form. It works on eight digits at a time: it is done for each request.
func pack(id string) (p packed, ok bool) {
	if len(id) != idLength || id[0] != idPrefix {
		return p, false
	}
	var digits [idLength - 1]byte
	copy(digits[:], id[1:])
	first, firstOK := packDigits(binary.LittleEndian.Uint64(digits[:8]))
	second, secondOK := packDigits(binary.LittleEndian.Uint64(digits[8:]))
	binary.LittleEndian.PutUint64(p[:8], first|second<<halfBits)
	binary.LittleEndian.PutUint16(p[8:], uint16(second>>(64-halfBits)))
	return p, firstOK && secondOK
}

const (
	halfBits = 8 * 5 // of the values of eight digits
	ones     = 0x0101010101010101
	highs    = 0x80 * ones
)

// packDigits returns the values of the digits in eight bytes, five bits each, and whether they are all digits.
func packDigits(x uint64) (values uint64, ok bool) {
	from := func(c uint64) uint64 { return x + (0x80-c)*ones } // sets the high bits of bytes that are c or more, if none is 0x80 or more
	isNumeral, isLetter := from('0')&^from('9'+1), from('a')&^from('v'+1)
	letters := isLetter & highs >> 7
	v := x&(0x0f*ones) + letters*('9'-'0') + x&(letters<<4) // '0' is 0x30, and 'a' is 0x61
	v = v&0x001f001f001f001f | v&0x1f001f001f001f00>>3
	v = v&0x000003ff000003ff | v&0x03ff000003ff0000>>6
	v = v&0x00000000000fffff | v&0x000fffff00000000>>12
	return v, x&highs == 0 && (isNumeral|isLetter)&highs == highs
}

func (p *packed) unpack() (id [idLength]byte) {
	low, high := binary.LittleEndian.Uint64(p[:8]), uint64(binary.LittleEndian.Uint16(p[8:]))
	id[0] = idPrefix
	for half, bits := range [...]uint64{low & (1<<halfBits - 1), low>>halfBits | high<<(64-halfBits)} {
		for digit := range 8 {
			id[1+8*half+digit] = idDigits[bits&31]
			bits >>= 5
		}
	}
	return id
}

// name is the id of a key, with what it is found by.
type name struct {
	id       string
	hash     uint64
	packed   packed
	isPacked bool
}

// shard returns the shard of the key with the id.
func (r *Recorder) shard(id string) (*shard, name) {
	n := name{id: id, hash: maphash.String(r.seed, id)}
	n.packed, n.isPacked = pack(id)
	return &r.shards[n.hash>>(64-shardBits)], n
}

func (s *shard) setID(number uint32, of *name) {
	k := s.keys.at(number)
	if of.isPacked {
		k.id = of.packed
		return
	}
	k.set(hasLongID, true)
	if s.longIDs == nil {
		s.longIDs = map[uint32]string{}
	}
	s.longIDs[number] = strings.Clone(of.id) // it may be part of a larger string
}

func (s *shard) id(number uint32) string {
	k := s.keys.at(number)
	if k.is(hasLongID) {
		return s.longIDs[number]
	}
	id := k.id.unpack()
	return string(id[:])
}

func (s *shard) isID(number uint32, of *name) bool {
	k := s.keys.at(number)
	if k.is(hasLongID) {
		return !of.isPacked && s.longIDs[number] == of.id
	}
	return of.isPacked && k.id == of.packed
}

func (s *shard) hashOf(number uint32) uint64 {
	k := s.keys.at(number)
	if k.is(hasLongID) {
		return maphash.String(s.recorder.seed, s.longIDs[number])
	}
	id := k.id.unpack()
	return maphash.Bytes(s.recorder.seed, id[:])
}
