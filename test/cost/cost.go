// Package cost measures, for tests, what hostile input costs: memory as Go counts it, and processor time, which does not
// depend on other work on the machine.
package cost

import (
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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

// InUse returns how many bytes of the heap are in use, after a garbage collection.
func InUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// attempts is how often f is measured before it is said to take too long.
const attempts = 5

// nominal is what the reference takes where a bound of processor time is meant as it is written.
const nominal = 2 * time.Millisecond

// Within returns the least cost of f, and reports whether it is within the bound. If f takes too long it is called again, up to five times in
// all, because caches may have been cold or the machine busy; f must allow that.
func Within(bound Cost, f func()) (Cost, bool) {
	is := Of(f)
	for range attempts - 1 {
		if is.Within(bound) || is.Allocated > bound.Allocated {
			break
		}
		is.Worked = min(is.Worked, Of(f).Worked)
	}
	return is, is.Within(bound)
}

// Within reports whether the cost is within the bound. The bound of processor time is that of a machine on which the reference takes 2 ms; on a
// slower one, or with the race detector, a function may take longer by as much as the reference does now.
func (c Cost) Within(bound Cost) bool {
	return c.Allocated <= bound.Allocated && (c.Worked <= bound.Worked || float64(c.Worked) <= float64(bound.Worked)*slowness())
}

// slowness returns how much longer than nominal the reference takes, at least 1.
func slowness() float64 {
	const times = 3
	is := Of(func() {
		for range times {
			reference()
		}
	})
	return max(1, float64(is.Worked)/times/float64(nominal))
}

// reference is work like that of a parser: it looks at bytes, and allocates.
func reference() {
	text := strings.Repeat("{{ .Key | quote }} é\x00", 128)
	for range 80 {
		if quoted := strconv.Quote(text); len(quoted) < len(text) {
			panic("a quoted text is longer")
		}
		if len(strings.FieldsFunc(text, func(r rune) bool { return r == '|' })) < 100 {
			panic("the text has fields")
		}
	}
}

// worked returns the processor time of this thread.
func worked() time.Duration {
	var is unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &is); err != nil {
		panic(err)
	}
	return time.Duration(is.Nano())
}
