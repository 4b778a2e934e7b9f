// Package gctuner bounds how much garbage may accumulate before it is collected.
//
// Go collects when the heap has doubled: the work of a collection, which is to mark what is alive, is then proportional
// to what was allocated since the last one. The keys of a validation server are large and contain nothing to mark, so
// doubling them would gain nothing: with a million keys, it would cost 110 MB. Here the heap grows between collections
// by as much as there is to mark instead, and by at least 16 MB, four times what Go allows a small heap: under load
// that is one collection instead of four.
//
// Memory that a burst leaves free, such as the first snapshot, is returned to the system soon afterwards.
package gctuner

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// least is the minimum that may be allocated between two collections, in bytes.
const least = 16 << 20

const (
	// defaultPercent is Go's initial value.
	defaultPercent = 100
	// mostPercent is for heaps that are almost empty.
	mostPercent = 400
)

// Keep adjusts GOGC from now on, for the whole process, unless the environment sets GOGC: then somebody has decided
// otherwise. GOMEMLIMIT still applies: near that limit, Go collects sooner.
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

// The metrics that are read, see package metrics. All are as of the last collection.
var names = [...]string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes", "/gc/scan/heap:bytes",
	"/memory/classes/heap/free:bytes"}

type keeper struct {
	percent int
	samples []metrics.Sample
}

// adjust sets the percentage, and schedules itself after the next collection.
func (k *keeper) adjust() {
	metrics.Read(k.samples)
	live, stacks, globals, toMark, free := k.bytes(0), k.bytes(1), k.bytes(2), k.bytes(3), k.bytes(4)
	percent := percentFor(live+stacks+globals, toMark+stacks+globals)
	if change := percent - k.percent; 8*max(change, -change) > k.percent {
		k.percent = percent
		debug.SetGCPercent(percent)
	}
	if free > max(least, toMark)*5/4 { // more than the next collections can need
		go debug.FreeOSMemory()
	}
	type garbage struct{ _ *keeper } // found by the next collection
	runtime.AddCleanup(&garbage{}, (*keeper).adjust, k)
}

func (k *keeper) bytes(i int) uint64 {
	if k.samples[i].Value.Kind() != metrics.KindUint64 {
		return 0 // the runtime does not have this metric
	}
	return k.samples[i].Value.Uint64()
}

// percentFor returns by how much the heap may grow if so many bytes count as alive and so many of them have to be
// marked.
func percentFor(alive, toMark uint64) int {
	return int(min(mostPercent, max(1, 100*max(least, toMark)/max(1, alive))))
}
