// Package cost measures, for tests, what hostile input costs: memory as Go counts it, and processor time, which does not
// depend on other work on the machine.
package cost

import (
	"runtime"
	"syscall"
	"time"
)

// Cost is the cost of a function.
type Cost struct {
	// Allocated is how many bytes were allocated, including those that were freed since.
	Allocated uint64
	// Worked is the processor time.
	Worked time.Duration
}

// Of returns the cost of f. Nothing else of the process may work at the same time.
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

// Within returns the cost of f, and reports whether it is within the bound. If f took too long it is called a second time,
// because caches may have been cold; f must allow that.
func Within(bound Cost, f func()) (Cost, bool) {
	is := Of(f)
	if is.Worked > bound.Worked {
		is.Worked = Of(f).Worked
	}
	return is, is.Allocated <= bound.Allocated && is.Worked <= bound.Worked
}

// worked returns the processor time of this thread, or of the whole process where that of a thread is not known.
func worked() time.Duration {
	const thread = 1 // RUSAGE_THREAD of Linux
	var usage syscall.Rusage
	if syscall.Getrusage(thread, &usage) != nil {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
