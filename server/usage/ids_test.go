package usage

import (
	"encoding/base32"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPackedIDs: ids of the form that the manager gives are packed, and no others; each is unpacked to what it was.
func TestPackedIDs(t *testing.T) {
	encoding := base32.HexEncoding.WithPadding(base32.NoPadding)
	rapid.Check(t, func(t *rapid.T) {
		id := idPrefixText + strings.ToLower(encoding.EncodeToString(rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "id")))
		p, ok := pack(id)
		if got := p.unpack(); !ok || string(got[:]) != id {
			t.Fatalf("%s: %s, %t", id, got, ok)
		}
		at, other := rapid.IntRange(0, len(id)-1).Draw(t, "at"), rapid.Byte().Draw(t, "other")
		changed := id[:at] + string([]byte{other}) + id[at+1:]
		q, ok := pack(changed)
		if want := (at == 0 && other == idPrefix) || at > 0 && strings.IndexByte(idDigits, other) >= 0; ok != want {
			t.Fatalf("%q is packed: %t", changed, ok)
		}
		if ok && (q == p) != (changed == id) {
			t.Fatalf("%q and %q are packed alike", id, changed)
		}
	})
	for _, id := range []string{"", "k", "k0123456789abcde", "k0123456789abcdefg"} {
		if _, ok := pack(id); ok {
			t.Errorf("%q is packed", id)
		}
	}
}

const idPrefixText = string(rune(idPrefix))

// TestIndex compares the index with a plain map, with so few hashes that many share a slot, wrap around its end, or are equal.
func TestIndex(t *testing.T) {
	hashes := rapid.SampledFrom([]uint64{0, 1, 2, 3, 4, 7, 1 << 26, 1 << 28, 1<<28 + 1, 1 << 31, 3 << 30, 1<<32 - 1, 1<<32 - 2, 1 << 33})
	rapid.Check(t, func(t *rapid.T) {
		x, model, last := &index{}, map[uint32]uint64{}, uint32(0)
		hashOf := func(number uint32) uint64 { return model[number] }
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				last++
				model[last] = hashes.Draw(t, "hash")
				x.insert(model[last], last, hashOf)
			},
			"remove": func(t *rapid.T) {
				number := rapid.Uint32Range(1, max(1, last)).Draw(t, "number")
				if hash, is := model[number]; is {
					x.remove(hash, number, hashOf)
					delete(model, number)
				}
			},
			"": func(t *rapid.T) {
				if x.used != len(model) || 4*x.used > 3*len(x.slots) {
					t.Fatalf("%d of %d slots are used, want %d", x.used, len(x.slots), len(model))
				}
				for number, hash := range model {
					if found := x.find(hash, func(n uint32) bool { return n == number }); found != number {
						t.Fatalf("%d is not found", number)
					}
				}
				if found := x.find(5, func(uint32) bool { return true }); found != 0 {
					t.Fatalf("%d is found by a hash that no key has", found)
				}
			},
		})
	})
}

// TestSlab: records keep their places while others are taken, and released ones are used again, empty.
func TestSlab(t *testing.T) {
	var s slab[uint64]
	for want := uint32(1); want <= 1000; want++ {
		number := s.take()
		if number != want || *s.at(number) != 0 {
			t.Fatalf("took %d, want %d, with %d", number, want, *s.at(number))
		}
		*s.at(number) = uint64(number)
	}
	for number := uint32(1); number <= 1000; number++ {
		if *s.at(number) != uint64(number) {
			t.Fatalf("%d has %d", number, *s.at(number))
		}
	}
	s.release(300)
	if number := s.take(); number != 300 || *s.at(number) != 0 || s.numbers() != 1001 {
		t.Errorf("took %d with %d, of %d", number, *s.at(number), s.numbers())
	}
}
