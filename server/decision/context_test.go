package decision

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestContextValues: the key's values come in place of the group's and beside them, each name once, sorted, and nothing is allocated.
func TestContextValues(t *testing.T) {
	contexts := rapid.Custom(func(t *rapid.T) []ContextValue {
		values := rapid.MapOfN(rapid.SampledFrom([]string{"A", "a", "b", "c", "d", "e"}), rapid.SampledFrom([]string{"", "x", "y"}), 0, 5).Draw(t, "values")
		var sorted []ContextValue
		for _, name := range slices.Sorted(maps.Keys(values)) {
			sorted = append(sorted, ContextValue{Name: name, Value: values[name]})
		}
		return sorted
	})
	rapid.Check(t, func(t *rapid.T) {
		group, key := contexts.Draw(t, "group"), contexts.Draw(t, "key")
		d := Decision{Group: &Group{Context: group}, Key: Key{Scope: &Scope{Context: key}}}
		merged := map[string]ContextValue{}
		for _, values := range [][]ContextValue{group, key} {
			for _, value := range values {
				merged[value.Name] = value
			}
		}
		want := slices.SortedFunc(maps.Values(merged), func(a, b ContextValue) int { return cmp.Compare(a.Name, b.Name) })
		var got []ContextValue
		for value := range d.ContextValues {
			got = append(got, *value)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v over %v is %v, want %v", key, group, got, want)
		}
		for range d.ContextValues {
			break // does not go on
		}
	})
	d := Decision{
		Group: &Group{Context: []ContextValue{{Name: "a"}, {Name: "c"}}}, Key: Key{Scope: &Scope{Context: []ContextValue{{Name: "b"}, {Name: "c"}}}},
	}
	n := 0
	if allocated := testing.AllocsPerRun(100, func() {
		for value := range d.ContextValues {
			n += len(value.Name)
		}
	}); allocated > 0 {
		t.Errorf("%g allocations", allocated)
	}
}
