package keytable

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

func digestOf(n int) keyformat.Digest { return sha256.Sum256(fmt.Append(nil, n)) }

func version(n int) Version {
	return Version{Digest: digestOf(n), Version: decision.Version{ExpiresAtMillis: int64(n)}}
}

func TestRecordFillsACacheLine(t *testing.T) {
	if size := unsafe.Sizeof(record{}); size != 64 {
		t.Errorf("%d bytes", size)
	}
}

// model is what a Table has to be equal to.
type model struct {
	keys     map[string]Key
	versions map[string][]Version
	digests  map[keyformat.Digest]string
}

func (m *model) drop(id string) {
	for _, v := range m.versions[id] {
		if m.digests[v.Digest] == id {
			delete(m.digests, v.Digest)
		}
	}
	delete(m.keys, id)
	delete(m.versions, id)
}

func (m *model) put(key Key, versions []Version) {
	m.drop(key.ID)
	m.keys[key.ID], m.versions[key.ID] = key, versions
	for _, v := range versions {
		m.digests[v.Digest] = key.ID
	}
}

func (m *model) find(digest keyformat.Digest) (Key, decision.Version, bool) {
	id, ok := m.digests[digest]
	if !ok {
		return Key{}, decision.Version{}, false
	}
	at := slices.IndexFunc(m.versions[id], func(v Version) bool { return v.Digest == digest })
	return m.keys[id], m.versions[id][at].Version, true
}

func (m *model) check(t *rapid.T, table *Table, digests int) {
	for n := range digests {
		digest := digestOf(n)
		key, version, ok := table.Find(&digest)
		wantKey, wantVersion, want := m.find(digest)
		if key != wantKey || version != wantVersion || ok != want {
			t.Fatalf("digest %d: found %+v %+v %v, want %+v %+v %v", n, key, version, ok, wantKey, wantVersion, want)
		}
	}
	seen := 0
	for key, versions := range table.All() {
		seen++
		if key != m.keys[key.ID] || !slices.Equal(versions, m.versions[key.ID]) {
			t.Fatalf("%q: %+v %+v", key.ID, key, versions)
		}
		if got, ok := table.Get(key.ID); !ok || got != key || !slices.Equal(table.Versions(nil, key.ID), versions) {
			t.Fatalf("%q is not found", key.ID)
		}
	}
	if keys, versions := table.Len(); keys != len(m.keys) || seen != keys || versions != len(m.digests) {
		t.Fatalf("%d keys, %d of them seen, and %d digests; want %d and %d", keys, seen, versions, len(m.keys), len(m.digests))
	}
}

// TestTableEqualsMaps compares a table with plain maps over histories with few ids and digests, so that they collide:
// replaced keys, shared digests, deleted keys, ids of all lengths.
func TestTableEqualsMaps(t *testing.T) {
	const digests = 12
	rapid.Check(t, func(t *rapid.T) {
		table, m := New(), &model{map[string]Key{}, map[string][]Version{}, map[keyformat.Digest]string{}}
		var handedOut, copies []string
		id := rapid.Map(rapid.IntRange(1, 9), func(n int) string { return strings.Repeat(fmt.Sprint(n), 1+(n*n*n)%MaxID) })
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				key := Key{ID: id.Draw(t, "id"), Scope: rapid.Uint32().Draw(t, "scope"), Pass: rapid.Uint32().Draw(t, "pass"),
					Suspended: rapid.Bool().Draw(t, "suspended")}
				versions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Version {
					return Version{Digest: digestOf(rapid.IntRange(0, digests-1).Draw(t, "digest")), Version: decision.Version{
						ExpiresAtMillis: rapid.Int64().Draw(t, "expires"), RetiresAtMillis: rapid.Int64().Draw(t, "retires"),
						Revoked: rapid.Bool().Draw(t, "revoked"),
					}}
				}), 0, 4).Draw(t, "versions")
				table.Put(key, versions)
				m.put(key, versions)
				stored, _ := table.Get(key.ID)
				handedOut, copies = append(handedOut, stored.ID), append(copies, strings.Clone(stored.ID))
			},
			"delete": func(t *rapid.T) {
				id := id.Draw(t, "id")
				table.Delete(id)
				m.drop(id)
			},
			"delete some": func(t *rapid.T) {
				for key := range table.All() {
					if rapid.Bool().Draw(t, "deleted") {
						table.Delete(key.ID)
						m.drop(key.ID)
					}
				}
			},
			"": func(t *rapid.T) { m.check(t, table, digests) },
		})
		if !slices.Equal(handedOut, copies) {
			t.Fatal("an id that was returned has changed")
		}
	})
}

// TestGrowing grows to all sizes and shrinks again, with longer ids than a text has space for at first.
func TestGrowing(t *testing.T) {
	const keys = 20_000
	id := func(n int) string { return fmt.Sprintf("k%0*d", 8+n%17, n) }
	table := New()
	for round := range 3 {
		for n := range keys {
			table.Put(Key{ID: id(n), Scope: uint32(n)}, []Version{version(n), version(n + keys)})
		}
		for n := range 2 * keys {
			digest := digestOf(n)
			if key, v, ok := table.Find(&digest); !ok || key.ID != id(n%keys) || key.Scope != uint32(n%keys) || v.ExpiresAtMillis != int64(n) {
				t.Fatalf("round %d: digest %d: %+v %+v %v", round, n, key, v, ok)
			}
		}
		for n := round; n < keys; n++ {
			table.Delete(id(n))
		}
		if keys, versions := table.Len(); keys != round || versions != 2*round {
			t.Fatalf("left: %d keys, %d versions", keys, versions)
		}
	}
	if chunkRecords != 1024 {
		t.Errorf("chunks have %d records", chunkRecords)
	}
	if want := uint32(2 * keys); table.taken != want {
		t.Errorf("%d records were taken for %d", table.taken, want)
	}
	for _, text := range table.texts {
		if text.Len() > maxText {
			t.Errorf("a text of %d bytes", text.Len())
		}
	}
}

// TestLongestIDs fills texts to their end, and continues in the space that is freed.
func TestLongestIDs(t *testing.T) {
	const keys = 2*chunkRecords - 1
	id := func(n int) string { return fmt.Sprintf("%0*d", MaxID, n) }
	table := New()
	for n := range keys {
		table.Put(Key{ID: id(n)}, nil)
	}
	for n := range 2 * keys {
		table.Delete(id(n))
		table.Put(Key{ID: id(n + keys)}, nil)
	}
	for n := 2 * keys; n < 3*keys; n++ {
		if key, ok := table.Get(id(n)); !ok || key.ID != id(n) {
			t.Fatalf("key %d: %q, %v", n, key.ID, ok)
		}
	}
	if len(table.texts) != 2 {
		t.Errorf("%d texts", len(table.texts))
	}
}

// TestIndexIsAMultimap tests the index alone, with hashes that collide.
func TestIndexIsAMultimap(t *testing.T) {
	hash := rapid.Custom(func(t *rapid.T) uint64 {
		bucket, home := rapid.Uint64Range(0, 1).Draw(t, "bucket"), rapid.SampledFrom([]uint64{0, 1, 2, 6, 7, 8, 1<<32 - 1}).Draw(t, "home")
		return bucket<<(64-bucketBits) | home
	})
	rapid.Check(t, func(t *rapid.T) {
		x, want := &index{}, map[uint32]uint64{}
		number := rapid.Uint32Range(1, 40)
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				n, h := number.Draw(t, "number"), hash.Draw(t, "hash")
				if _, there := want[n]; !there {
					x.insert(h, n)
					want[n] = h
				}
			},
			"remove": func(t *rapid.T) {
				n := number.Draw(t, "number")
				x.remove(want[n], n)
				delete(want, n)
			},
			"": func(t *rapid.T) {
				found := map[uint32]uint64{}
				for _, h := range want {
					c := x.seek(h)
					for n := c.Next(); n != 0; n = c.Next() {
						found[n] = h
					}
				}
				if x.len != len(want) || fmt.Sprint(found) != fmt.Sprint(want) {
					t.Fatalf("found %v of %v", found, want)
				}
			},
		})
	})
}

// TestReadersAndAWriter is for the race detector: strings that readers have are never written to while the writer continues.
func TestReadersAndAWriter(t *testing.T) {
	const keys = 600
	var mu sync.RWMutex
	table := New()
	put := func(n int) { table.Put(Key{ID: fmt.Sprint("key-", n)}, []Version{version(n)}) }
	for n := range keys {
		put(n)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			held := make([]Key, keys)
			for {
				for n := range keys {
					digest := digestOf(n)
					mu.RLock()
					key, _, ok := table.Find(&digest)
					mu.RUnlock()
					if ok {
						held[n] = key
					}
				}
				for n, key := range held {
					if key.ID != "" && key.ID != fmt.Sprint("key-", n) {
						t.Errorf("key %d was returned as %q", n, key.ID)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for round := range 20 {
		for n := range keys {
			mu.Lock()
			if n%20 == round {
				put(n)
			} else {
				table.Delete(fmt.Sprint("key-", n))
			}
			mu.Unlock()
		}
		for n := range keys {
			mu.Lock()
			put(n)
			mu.Unlock()
		}
	}
	close(done)
	readers.Wait()
}
