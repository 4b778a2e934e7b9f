package cluster

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestFirst: page after page has all objects once, in their order, no matter in which they were shown.
func TestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 5).Draw(t, "most")
		instants := rapid.SliceOfN(rapid.SampledFrom([]int64{math.MinInt64 + 1, -1, 0, 1, math.MaxInt64}), 0, 40).Draw(t, "instants")
		var all []rank
		for i, at := range instants {
			all = append(all, rank{at, fmt.Sprintf("team/key-%02d", i)})
		}
		var got []rank
		var after *rank
		for range len(all) + 1 {
			f := &first[rank]{most: most, after: after}
			for _, at := range rapid.Permutation(all).Draw(t, "shown") {
				f.add(at, at)
			}
			if len(f.kept) > most {
				t.Fatalf("%d are kept, at most %d", len(f.kept), most)
			}
			for _, one := range f.kept {
				got = append(got, one.of)
			}
			next := f.next()
			if next == nil {
				break
			}
			back, err := parseCursor(next.String())
			if err != nil {
				t.Fatal(err)
			}
			after = back.After
		}
		want := slices.SortedFunc(slices.Values(all), func(a, b rank) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Name, b.Name)) })
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// TestOrders: which key comes first. One without an instant comes where people look for it.
func TestOrders(t *testing.T) {
	day := func(n int) *metav1.Time { return &metav1.Time{Time: time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC)} }
	key := func(name string, created, used, expires int) *v1alpha1.ApiKey {
		k := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *day(created)}}
		if used > 0 {
			k.Status.LastUsedAt = day(used)
		}
		if expires > 0 {
			k.Status.ExpiresAt = day(expires)
		}
		return k
	}
	keys := []*v1alpha1.ApiKey{key("a", 1, 0, 0), key("b", 3, 5, 20), key("c", 2, 6, 10)}
	for order, want := range map[string]string{"expiry": "cba", "used": "cba", "unused": "abc", "newest": "bca"} {
		i := slices.IndexFunc(orders, func(o orderOfKeys) bool { return o.name == order })
		f := &first[string]{most: 3}
		for _, k := range keys {
			f.add(k.Name, rank{orders[i].at(k), k.Name})
		}
		got := ""
		for _, one := range f.kept {
			got += one.of
		}
		if got != want {
			t.Errorf("%s: %s, want %s", order, got, want)
		}
	}
	if len(orders) != 4 || len(orderChoices("used").Of) != 5 {
		t.Error("an order is not tested")
	}
}
