package cost

import (
	"runtime"
	"testing"
)

func references(n int) func() {
	return func() {
		for range n {
			reference()
		}
	}
}

// TestWithin: what is far within a bound is within it, and what is far beyond it is not, with the race detector too.
func TestWithin(t *testing.T) {
	bound := Cost{Allocated: 1 << 30, Worked: 10 * nominal}
	if is, within := Within(bound, references(1)); !within {
		t.Errorf("1 of 10 is too much: %+v", is)
	}
	if is, within := Within(bound, references(200)); within {
		t.Errorf("200 of 10 are not too much: %+v", is)
	}
	if is, within := Within(Cost{Allocated: 1 << 20, Worked: bound.Worked}, func() { runtime.KeepAlive(make([]byte, 2<<20)) }); within {
		t.Errorf("2 MiB of 1 are not too much: %+v", is)
	}
}

// TestDelayed: a function that takes long only once is within the bound.
func TestDelayed(t *testing.T) {
	calls := 0
	if is, within := Within(Cost{Allocated: 1 << 30, Worked: 10 * nominal}, func() {
		if calls++; calls == 1 {
			references(50)()
		}
	}); !within {
		t.Errorf("called %d times: %+v", calls, is)
	}
}
