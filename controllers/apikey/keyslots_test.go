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
		Namespace: "acme", Name: fmt.Sprintf("key-%d", i), UID: types.UID(fmt.Sprintf("uid-%04d", i)), CreationTimestamp: metav1.Time{Time: created},
	}}
	key.Spec.GroupRef.Name = "acme"
	return key
}

// TestPlaces: whatever comes, goes and asks in whatever order, and however stale what is seen
// of it, there are never more places taken than there may be, none is left while a key waits,
// and the oldest are let in.
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
				t.Fatalf("%s has lost its place", key.Name)
			}
			if has && !minted[key.Name] {
				before := 0
				for name, other := range alive {
					if !minted[name] && other.CreationTimestamp.Before(&key.CreationTimestamp) {
						before++
					}
				}
				if len(minted)+before >= limit {
					t.Fatalf("%s is let in before %d that are older", key.Name, before)
				}
				minted[key.Name] = true
			}
			if len(minted) > limit {
				t.Fatalf("%d have a place, of %d", len(minted), limit)
			}
		}
		begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		for i := range 60 {
			present := slices.Sorted(maps.Keys(alive))
			switch step := rapid.SampledFrom([]string{"come", "ask", "ask", "go", "revoke"}).Draw(t, "step"); {
			case step == "come" || len(present) == 0:
				key := keyNumber(i, begin.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "age"))*time.Second))
				alive[key.Name] = key
				p.note(key)
			default:
				key := alive[rapid.SampledFrom(present).Draw(t, "which")]
				if step == "ask" {
					ask(key)
					break
				}
				delete(alive, key.Name)
				delete(minted, key.Name)
				if step == "go" {
					p.note(key) // stale, and put right by what follows
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
		for range alive { // each that asks again makes room for none, and all have asked
			for _, name := range slices.Sorted(maps.Keys(alive)) {
				ask(alive[name])
			}
		}
		if want := min(limit, len(alive)); len(minted) != want {
			t.Fatalf("%d have a place, want %d", len(minted), want)
		}
	})
}

// BenchmarkFull is a key that asks in vain, of 10,000.
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
			b.Fatal("it has a place")
		}
	}
}
