package sinks

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const (
	// saveInterval is the time between two writes of positions. A crash has what was sent in that time sent again.
	saveInterval = 3 * time.Second
	// lastSaves bounds the writes of positions when the leader ends, and lastSave their time.
	lastSaves = 64
	lastSave  = 3 * time.Second
	// loadInterval is when positions are loaded again that could not be loaded.
	loadInterval = 5 * time.Second
)

// Sink is a sink, and what sends to it.
type Sink struct {
	*config.Sink
	Sender Sender
}

// Runner sends the logs of Source to all sinks, while this manager leads.
type Runner struct {
	Source Source
	Store  Store
	Sinks  []Sink
	Clock  clock.WithTicker
	Log    logr.Logger
	// Random returns numbers from 0 to 1, by which pauses differ; without it they are random.
	Random func() float64
	// Unmeasured leaves out the metric of how far sinks are behind, which is that of one Runner.
	Unmeasured bool

	workers []*worker
	running atomic.Pointer[[]*worker] // all of them, once they are
	// logs has the keys of all logs, as they were listed last; nil before.
	logs atomic.Pointer[map[string]bool]
}

// NeedLeaderElection is true: one sends for all.
func (r *Runner) NeedLeaderElection() bool { return true }

// Start sends until the context ends.
func (r *Runner) Start(ctx context.Context) error {
	defer func() {
		for _, sink := range r.Sinks {
			sink.Sender.Close()
		}
	}()
	positions, ok := r.load(ctx)
	if !ok {
		return nil
	}
	random := r.Random
	if random == nil {
		random = rand.Float64
	}
	var all sync.WaitGroup
	for _, sink := range r.Sinks {
		begin(sink.Name)
		w := &worker{
			sink: sink.Sink, sender: sink.Sender, source: r.Source, clock: r.Clock, log: r.Log.WithValues("sink", sink.Name), random: random,
			listed: func(logs map[string]bool) { r.logs.Store(&logs) }, lanes: map[string]*lane{}, moved: Positions{},
			persisted: positions[sink.Name],
		}
		r.workers = append(r.workers, w)
		all.Go(func() { w.run(ctx) })
	}
	r.running.Store(&r.workers)
	if !r.Unmeasured {
		defer current.Set(r)()
	}
	r.save(ctx)
	all.Wait()
	r.saveAll(context.WithoutCancel(ctx))
	return nil
}

// load loads the positions of all sinks; not before the context ends.
func (r *Runner) load(ctx context.Context) (map[string]Positions, bool) {
	for {
		positions, err := r.Store.Load(ctx)
		if err == nil {
			return positions, true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		r.Log.Error(err, "Cannot load the positions of sinks; nothing is sent until it succeeds")
		timer := r.Clock.NewTimer(loadInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, false
		case <-timer.C():
		}
	}
}

// save persists what has moved, until the context ends.
func (r *Runner) save(ctx context.Context) {
	ticker := r.Clock.NewTicker(saveInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		_, err := r.saveOnce(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.Log.Error(err, "Cannot persist the positions of sinks; a crash would have more events sent again")
		}
		failing = err != nil
	}
}

// saveOnce persists what one write can, and reports whether something is left.
func (r *Runner) saveOnce(ctx context.Context) (more bool, err error) {
	moved := map[string]Positions{}
	for _, w := range r.workers {
		if positions := w.takeMoved(); len(positions) > 0 {
			moved[w.sink.Name] = positions
		}
	}
	if len(moved) == 0 {
		return false, nil
	}
	failpoint.Here(failpoint.BeforePosition)
	left, err := r.Store.Save(ctx, moved, r.exists)
	failpoint.Here(failpoint.AfterPosition)
	for _, w := range r.workers {
		w.putBack(left[w.sink.Name])
	}
	return len(left) > 0, err
}

// saveAll persists the last positions when this manager ends, so that the next leader sends nothing twice. Positions only grow, so that
// it does not matter if another one leads already.
func (r *Runner) saveAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastSave)
	defer cancel()
	for range lastSaves {
		if more, err := r.saveOnce(ctx); err != nil || !more {
			return
		}
	}
}

// exists reports whether a position of a log is still needed.
func (r *Runner) exists(sink, log string) bool {
	for _, w := range r.workers {
		if w.sink.Name == sink {
			logs := r.logs.Load()
			return logs == nil || (*logs)[log]
		}
	}
	return false
}
