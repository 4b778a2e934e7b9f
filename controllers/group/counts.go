package group

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// counts remembers how many active keys Groups have, until a key of theirs changes: a Group may have very many, and most changes are of
// something else. Without it they are counted each time.
type counts struct {
	mu     sync.Mutex
	active map[types.NamespacedName]int
	// changes counts the calls of forget.
	changes uint64
}

func newCounts() *counts { return &counts{active: map[types.NamespacedName]int{}} }

// of returns the number of active keys of a Group, which it counts if that is not known.
func (c *counts) of(group types.NamespacedName, count func() (int, error)) (int, error) {
	if c == nil {
		return count()
	}
	c.mu.Lock()
	n, known := c.active[group]
	before := c.changes
	c.mu.Unlock()
	if known {
		return n, nil
	}
	n, err := count()
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == before { // or else a key may have changed after it was counted
		c.active[group] = n
	}
	return n, nil
}

// forget is for a Group of which a key has changed, and for one that is deleted.
func (c *counts) forget(group types.NamespacedName) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, group)
	c.changes++
}
