// Package cost measures, for tests, what hostile input costs: memory as Go counts it and
// processor time, which other work on the machine does not lengthen.
package cost

import (
	"runtime"
	"syscall"
	"time"
)

// Cost is what a function has cost.
type Cost struct {
	// Allocated is how many bytes were allocated, those that were freed since included.
	Allocated uint64
	// Worked is how long the processor worked.
	Worked time.Duration
}

// Of is what f costs. Nothing else of the process may work at the same time.
func Of(f func()) Cost {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := worked()
	f()
	took := worked() - start
	runtime.ReadMemStats(&after)
	return Cost{Allocated: after.TotalAlloc - before.TotalAlloc, Worked: took}
}

// Within reports whether what f costs is within the bound. What took too long is tried a second
// time, since a first time may find cold caches; f must be one that can be.
func Within(bound Cost, f func()) (Cost, bool) {
	is := Of(f)
	if is.Worked > bound.Worked {
		is.Worked = Of(f).Worked
	}
	return is, is.Allocated <= bound.Allocated && is.Worked <= bound.Worked
}

// worked is how long this thread has worked, or all of the process where that is not known.
func worked() time.Duration {
	const thread = 1 // RUSAGE_THREAD of Linux
	var usage syscall.Rusage
	if syscall.Getrusage(thread, &usage) != nil {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
