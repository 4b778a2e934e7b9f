package openhash

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// all returns the numbers that the table has for a hash.
func all(t *Table, hash uint64) []uint32 {
	var numbers []uint32
	for c := t.Seek(hash); ; {
		number := c.Next()
		if number == 0 {
			slices.Sort(numbers)
			return numbers
		}
		numbers = append(numbers, number)
	}
}

// TestTable compares the table with a plain map, with so few hashes that many share a slot, wrap around its end, or are equal.
func TestTable(t *testing.T) {
	hashes := rapid.SampledFrom([]uint64{0, 1, 2, 3, 4, 1 << 28, 1<<28 + 1, 1 << 31, 1<<32 - 1, 1<<32 - 2, 3 << 30, 1 << 33})
	rapid.Check(t, func(t *rapid.T) {
		table, model, last := &Table{}, map[uint32]uint64{}, uint32(0)
		some := func(t *rapid.T) uint32 {
			if len(model) == 0 {
				t.Skip("it is empty")
			}
			return rapid.SampledFrom(slices.Sorted(maps.Keys(model))).Draw(t, "number")
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				last++
				model[last] = hashes.Draw(t, "hash")
				table.Insert(model[last], last)
			},
			"remove": func(t *rapid.T) {
				number := some(t)
				if !table.Remove(model[number], number) {
					t.Fatalf("%d is not there", number)
				}
				delete(model, number)
			},
			"remove what is not there": func(t *rapid.T) {
				if hash := hashes.Draw(t, "hash"); table.Remove(hash, last+1) {
					t.Fatalf("%d was there", last+1)
				}
			},
			"replace": func(t *rapid.T) {
				number := some(t)
				last++
				for c := table.Seek(model[number]); ; {
					if c.Next() == number {
						c.Replace(last)
						break
					}
				}
				model[last] = model[number]
				delete(model, number)
			},
			"": func(t *rapid.T) {
				want := map[uint32][]uint32{} // by the part of the hash that counts
				for number, hash := range model {
					want[uint32(hash)] = append(want[uint32(hash)], number)
				}
				for _, hash := range []uint64{0, 1, 2, 3, 4, 5, 1 << 28, 1<<28 + 1, 1 << 31, 3 << 30, 1<<32 - 1, 1<<32 - 2} {
					slices.Sort(want[uint32(hash)])
					if got := all(table, hash); !slices.Equal(got, want[uint32(hash)]) {
						t.Fatalf("hash %x: %v, want %v", hash, got, want[uint32(hash)])
					}
				}
				if table.used != len(model) || 4*table.used > 3*len(table.slots) {
					t.Fatalf("%d of %d slots are used, for %d", table.used, len(table.slots), len(model))
				}
			},
		})
	})
}

// TestSize: of a table with more than a few records, three fifths of the slots are used at least, and a search looks at few of them.
func TestSize(t *testing.T) {
	table := &Table{}
	hash := func(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 >> 13 } // spread over the lower 32 bits
	for n := uint64(1); n <= 50_000; n++ {
		table.Insert(hash(n), uint32(n))
		if n > 3*doubled/4 && 10*table.used < 6*len(table.slots)-10 {
			t.Fatalf("%d of %d slots are used", table.used, len(table.slots))
		}
	}
	steps := 0
	for n := uint64(1); n <= 50_000; n++ {
		if got := all(table, hash(n)); !slices.Equal(got, []uint32{uint32(n)}) {
			t.Fatalf("%d: %v", n, got)
		}
	}
	for at := range table.slots {
		if s := table.slots[at]; s.number != 0 {
			steps += int(table.steps(table.home(s.hash), uint32(at)))
		}
	}
	if mean := float64(steps) / 50_000; mean > 3 {
		t.Errorf("a record is %.1f slots from where its search begins", mean)
	}
}
