package usage

import (
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

// idValues has the values of digits; noDigit for everything else.
var idValues = func() (values [256]uint8) {
	for i := range values {
		values[i] = noDigit
	}
	for value, digit := range []byte(idDigits) {
		values[digit] = uint8(value)
	}
	return values
}()

const noDigit = 0xff

// pack returns false if the id has another form.
func pack(id string) (p packed, ok bool) {
	if len(id) != idLength || id[0] != idPrefix {
		return p, false
	}
	bits, invalid := uint64(0), uint8(0)
	for i := range idLength - 1 {
		value := idValues[id[1+i]]
		invalid |= value
		bits = bits<<5 | uint64(value)
		if i%8 == 7 {
			half := p[i/8*5:]
			half[0], half[1], half[2], half[3], half[4] = byte(bits>>32), byte(bits>>24), byte(bits>>16), byte(bits>>8), byte(bits)
			bits = 0
		}
	}
	return p, invalid < noDigit
}

func (p *packed) unpack() (id [idLength]byte) {
	id[0] = idPrefix
	for i := range 2 {
		half := p[i*5:]
		bits := uint64(half[0])<<32 | uint64(half[1])<<24 | uint64(half[2])<<16 | uint64(half[3])<<8 | uint64(half[4])
		for digit := 7; digit >= 0; digit-- {
			id[1+i*8+digit] = idDigits[bits&31]
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
