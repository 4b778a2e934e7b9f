package publish_test

import (
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// steppedClock is a fake clock whose functions may read it; those of FakeClock run with it
// locked.
type steppedClock struct {
	*clocktesting.FakeClock
	due []deadline
}

type deadline struct {
	at time.Time
	f  func()
}

func newClock() *steppedClock {
	return &steppedClock{FakeClock: clocktesting.NewFakeClock(start)}
}

// AfterFunc runs f in the Step that reaches the instant. Its timer cannot be stopped.
func (c *steppedClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.due = append(c.due, deadline{c.Now().Add(d), f})
	return nil
}

// Step advances the clock and runs what has become due.
func (c *steppedClock) Step(d time.Duration) {
	c.FakeClock.Step(d)
	remaining := c.due
	c.due = nil
	for _, next := range remaining {
		if next.at.After(c.Now()) {
			c.due = append(c.due, next)
		} else {
			next.f()
		}
	}
}
