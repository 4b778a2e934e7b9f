package e2e

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// loadLoop sends requests with one key to several servers, in a loop for each server.
type loadLoop struct {
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu      sync.Mutex
	sent    int
	refused []string // all responses that did not allow the request
}

// startLoadLoop verifies the key at every server, repeatedly until it is stopped.
func (w *world) startLoadLoop(key string, validators []*validator) *loadLoop {
	const pause = 5 * time.Millisecond // a busy site that leaves some capacity to the others
	ctx, cancel := context.WithCancel(w.ctx)
	a := &loadLoop{cancel: cancel}
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

func (a *loadLoop) note(instance, code string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent++
	if err != nil || code != "allowed" {
		a.refused = append(a.refused, fmt.Sprintf("%s: %s (%v)", instance, code, err))
	}
}

// stop ends the loops and returns how many requests they sent, and which of them were not allowed.
func (a *loadLoop) stop() (sent int, refused []string) {
	a.cancel()
	a.loops.Wait()
	return a.sent, a.refused
}
