package quota

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestKeyQuotas: after any changes, the quotas in force are those of the keys that were created first, as many as may
// have one, and all others are 0.
func TestKeyQuotas(t *testing.T) {
	began := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		var quotas keyQuotas
		type declared struct {
			created  time.Time
			requests uint64
		}
		keys, inForce := map[string]declared{}, map[string]uint64{}
		changed := func(key string, requests *uint64) {
			if requests == nil {
				delete(inForce, key)
				return
			}
			inForce[key] = *requests
		}
		set := func(key string, is declared) {
			keys[key] = is
			quotas.set(key, is.created, &is.requests, changed)
		}
		for i := range rapid.IntRange(0, v1alpha1.MaxKeyQuotas+20).Draw(t, "before") {
			set("old"+strconv.Itoa(i), declared{began.Add(time.Duration(i/3) * time.Second), 1000})
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				key := "k" + strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "key"))
				set(key, declared{began.Add(time.Duration(rapid.IntRange(-5, 90).Draw(t, "created")) * time.Second), rapid.Uint64Range(1, 9).Draw(t, "requests")})
			},
			"remove": func(t *rapid.T) {
				all := slices.Sorted(func(yield func(string) bool) {
					for key := range keys {
						if !yield(key) {
							return
						}
					}
				})
				if len(all) == 0 {
					return
				}
				key := rapid.SampledFrom(all).Draw(t, "key")
				delete(keys, key)
				quotas.set(key, time.Time{}, nil, changed)
			},
			"": func(t *rapid.T) {
				all := make([]keyQuota, 0, len(keys))
				for key, is := range keys {
					all = append(all, keyQuota{key, is.created, is.requests})
				}
				slices.SortFunc(all, byAge)
				if len(inForce) != len(all) {
					t.Fatalf("%d are in force of %d", len(inForce), len(all))
				}
				for i, of := range all {
					want := of.requests
					if i >= v1alpha1.MaxKeyQuotas {
						want = 0
					}
					if inForce[of.key] != want {
						t.Fatalf("key %s, number %d, has %d, want %d", of.key, i, inForce[of.key], want)
					}
				}
			},
		})
	})
}
