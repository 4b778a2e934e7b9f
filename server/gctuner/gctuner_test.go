package gctuner

import (
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		alive, toMark uint64
		want          int
	}{
		{0, 0, 400},
		{3 * mb, 2 * mb, 400}, // small
		{16 * mb, 2 * mb, 100},
		{128 * mb, 4 * mb, 12}, // keys
		{128 * mb, 96 * mb, 75},
		{128 * mb, 128 * mb, 100}, // all pointers: as Go does it
		{1 << 40, 0, 1},
	} {
		if got := percentFor(c.alive, c.toMark); got != c.want {
			t.Errorf("%d MB alive, %d MB to mark: %d %%, want %d", c.alive/mb, c.toMark/mb, got, c.want)
		}
	}
}

// growth returns how far the heap may grow beyond what is alive.
func growth() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

func TestHeapIsNotDoubled(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set")
	}
	Keep()
	keys := make([][1 << 20]byte, 128)
	end := time.Now().Add(20 * time.Second)
	for runtime.GC(); growth() > 2*least; runtime.GC() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of growth", growth())
		}
		runtime.Gosched()
	}
	runtime.KeepAlive(keys)
}
