package e2e

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// asking is a number of loops that ask about one key, one for each server.
type asking struct {
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu      sync.Mutex
	asked   int
	refused []string // all answers but allowed
}

// keepAsking asks every server about the key, over and over until it is stopped.
func (w *world) keepAsking(key string, validators []*validator) *asking {
	const pause = 5 * time.Millisecond // a busy site, and still some room for the others
	ctx, cancel := context.WithCancel(w.ctx)
	a := &asking{cancel: cancel}
	for _, v := range validators {
		a.loops.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for ctx.Err() == nil {
				code, err := v.verify(context.WithoutCancel(ctx), key)
				a.note(v.setup.instance, code, err)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	w.t.Cleanup(func() { a.stop() })
	return a
}

func (a *asking) note(instance, code string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if err != nil || code != "allowed" {
		a.refused = append(a.refused, fmt.Sprintf("%s: %s (%v)", instance, code, err))
	}
}

// stop ends the loops and returns how many times they asked, and what they were told but allowed.
func (a *asking) stop() (asked int, refused []string) {
	a.cancel()
	a.loops.Wait()
	return a.asked, a.refused
}
