package group

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// TestCounts: regardless of what changes while keys are counted, a count is that of the moment when it is asked for or of a later one,
// and nothing is counted twice while nothing changes.
func TestCounts(t *testing.T) {
	names := []types.NamespacedName{{Name: "acme"}, {Name: "bakery"}}
	rapid.Check(t, func(t *rapid.T) {
		c, keys, fresh := newCounts(), map[types.NamespacedName]int{}, map[types.NamespacedName]bool{}
		change := func(group types.NamespacedName) { // as informers do: first the store, then the handler
			keys[group]++
			c.forget(group)
			delete(fresh, group)
		}
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) { change(rapid.SampledFrom(names).Draw(t, "group")) },
			"count": func(t *rapid.T) {
				group := rapid.SampledFrom(names).Draw(t, "group")
				meanwhile := rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "changes meanwhile")
				counted, remembered := false, fresh[group]
				n, err := c.of(group, func() (int, error) {
					counted = true
					n := keys[group]
					for range meanwhile {
						change(rapid.SampledFrom(names).Draw(t, "changed"))
					}
					return n, nil
				})
				switch {
				case err != nil:
					t.Fatal(err)
				case counted && remembered:
					t.Fatal("counted, though nothing has changed")
				case !counted && n != keys[group]:
					t.Fatalf("%d are remembered of %d", n, keys[group])
				}
				fresh[group] = !counted || meanwhile == 0
			},
			"fail": func(t *rapid.T) {
				group, failed := rapid.SampledFrom(names).Draw(t, "group"), errors.New("the cache is closing")
				if _, err := c.of(group, func() (int, error) { return 7, failed }); !fresh[group] && !errors.Is(err, failed) {
					t.Fatalf("an error is %v", err)
				}
			},
		})
	})
}
