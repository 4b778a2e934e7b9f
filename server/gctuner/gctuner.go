// Package gctuner bounds how much garbage may pile up before it is collected.
//
// Go collects when the heap has doubled: the work of a collection, which is to mark what is
// alive, then stands in proportion to what was allocated since the last. The keys of a
// validation server are large and have nothing to mark, so doubling them would buy nothing:
// with a million keys, 110 MB. Here the heap grows between collections by as much as there
// is to mark instead, and by 16 MB at least, which is four times what Go allows a small heap:
// under load that is a collection where there would be four.
//
// What a burst has left free, such as the first snapshot, goes back to the system soon after.
package gctuner

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// least is how much may be allocated between two collections at least, in bytes.
const least = 16 << 20

const (
	// defaultPercent is what Go begins with.
	defaultPercent = 100
	// mostPercent is for heaps that are almost empty.
	mostPercent = 400
)

// Keep keeps the headroom right from now on, for the whole process, unless GOGC is set: then
// somebody has decided otherwise. GOMEMLIMIT holds beside it: near that limit, Go collects sooner.
func Keep() {
	if os.Getenv("GOGC") != "" {
		return
	}
	k := &keeper{percent: defaultPercent, samples: make([]metrics.Sample, len(names))}
	for i, name := range names {
		k.samples[i].Name = name
	}
	k.adjust()
}

// What is read, see package metrics. All of it is as of the last collection.
var names = [...]string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes", "/gc/scan/heap:bytes", "/memory/classes/heap/free:bytes"}

type keeper struct {
	percent int
	samples []metrics.Sample
}

// adjust sets the percentage, and has itself called again after the next collection.
func (k *keeper) adjust() {
	metrics.Read(k.samples)
	live, stacks, globals, toMark, free := k.bytes(0), k.bytes(1), k.bytes(2), k.bytes(3), k.bytes(4)
	percent := percentFor(live+stacks+globals, toMark+stacks+globals)
	if change := percent - k.percent; 8*max(change, -change) > k.percent {
		k.percent = percent
		debug.SetGCPercent(percent)
	}
	if free > 2*max(least, toMark) { // more than the next collections can need
		go debug.FreeOSMemory()
	}
	type garbage struct{ _ *keeper } // found by the next collection
	runtime.AddCleanup(&garbage{}, (*keeper).adjust, k)
}

func (k *keeper) bytes(i int) uint64 {
	if k.samples[i].Value.Kind() != metrics.KindUint64 {
		return 0 // of a runtime that does not know it
	}
	return k.samples[i].Value.Uint64()
}

// percentFor returns by how much the heap may grow, where so many bytes count as alive and so
// many of them are to be marked.
func percentFor(alive, toMark uint64) int {
	return int(min(mostPercent, max(1, 100*max(least, toMark)/max(1, alive))))
}
