package apikey

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

func keyNumber(i int, created time.Time) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{
		Namespace: "acme", Name: fmt.Sprintf("key-%d", i), UID: types.UID(fmt.Sprintf("uid-%04d", i)),
		CreationTimestamp: metav1.Time{Time: created},
	}}
	key.Spec.GroupRef.Name = "acme"
	return key
}

// TestKeySlots: in any order of keys that are created, deleted, revoked and reconciled, and however stale what is seen of
// them is, no more slots are reserved than the limit, none stays free while a key is queued, and the oldest keys are
// first.
func TestKeySlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 4).Draw(t, "limit")
		alive, minted := map[string]*v1alpha1.ApiKey{}, map[string]bool{}
		var woken []types.NamespacedName
		p := keySlots{wake: func(key types.NamespacedName) { woken = append(woken, key) }}
		ask := func(key *v1alpha1.ApiKey) {
			has, err := p.reserve(key, limit, func() ([]v1alpha1.ApiKey, error) {
				var all []v1alpha1.ApiKey
				for _, key := range alive {
					all = append(all, *key)
				}
				return all, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if minted[key.Name] && !has {
				t.Fatalf("%s has lost its slot", key.Name)
			}
			if has && !minted[key.Name] {
				before := 0
				for name, other := range alive {
					if !minted[name] && other.CreationTimestamp.Before(&key.CreationTimestamp) {
						before++
					}
				}
				if len(minted)+before >= limit {
					t.Fatalf("%s gets a slot before %d that are older", key.Name, before)
				}
				minted[key.Name] = true
			}
			if len(minted) > limit {
				t.Fatalf("%d have a slot, of %d", len(minted), limit)
			}
		}
		begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		for i := range 60 {
			present := slices.Sorted(maps.Keys(alive))
			switch step := rapid.SampledFrom([]string{"create", "reconcile", "reconcile", "delete", "revoke"}).Draw(t, "step"); {
			case step == "create" || len(present) == 0:
				key := keyNumber(i, begin.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "age"))*time.Second))
				alive[key.Name] = key
				p.note(key)
			default:
				key := alive[rapid.SampledFrom(present).Draw(t, "which")]
				if step == "reconcile" {
					ask(key)
					break
				}
				delete(alive, key.Name)
				delete(minted, key.Name)
				if step == "delete" {
					p.note(key) // stale, and corrected by the next line
					p.deleted(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
				} else {
					ended := key.DeepCopy()
					ended.Spec.Revoked = new(true)
					p.note(ended)
				}
			}
			for len(woken) > 0 {
				next := woken[0]
				woken = woken[1:]
				ask(alive[next.Name])
			}
		}
		for range alive { // no key that is reconciled again gives up its slot
			for _, name := range slices.Sorted(maps.Keys(alive)) {
				ask(alive[name])
			}
		}
		if want := min(limit, len(alive)); len(minted) != want {
			t.Fatalf("%d have a slot, want %d", len(minted), want)
		}
	})
}

// BenchmarkFull is a key of 10,000 for which there is no slot.
func BenchmarkFull(b *testing.B) {
	p, now := keySlots{}, time.Now()
	list := func() ([]v1alpha1.ApiKey, error) { return nil, nil }
	var last *v1alpha1.ApiKey
	for i := range 10_000 {
		last = keyNumber(i, now)
		if _, err := p.reserve(last, 10, list); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if has, err := p.reserve(last, 10, list); has || err != nil {
			b.Fatal("it has a slot")
		}
	}
}
