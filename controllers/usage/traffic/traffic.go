// Package traffic collects what validation servers report about the requests of Groups for people to see: how many were refused,
// and why, and with which keys, and which origins the others came from. It is kept in memory until it is recorded with something else, or a minute has
// passed. A crash loses it; nothing is counted twice.
package traffic

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// recordAfter is how long traffic waits to be recorded with something else.
	recordAfter = time.Minute
	// writes is the maximum number of GroupUsages that are written per second for traffic alone.
	writes rate.Limit = 5
	// maxOrigins is how many origins of a group wait at once; further ones are left out.
	maxOrigins = 64
	// maxGroups is how many groups may wait.
	maxGroups = 100_000
)

// Pending is the traffic that is not recorded yet. It is safe for concurrent use.
//
// mu guards groups and keys, and is not held while a GroupUsage is written. Each group in groups is in the queue, or Start has it. keys is how many
// refused keys and codes all groups have.
type Pending struct {
	// Record records the traffic of a group that nothing else records.
	Record func(ctx context.Context, group string) error

	clock   clock.PassiveClock
	refused refusedOrigins
	limiter *rate.Limiter
	queue   workqueue.TypedDelayingInterface[string]

	mu     sync.Mutex
	groups map[string]usageseries.Traffic
	keys   int
}

// New returns a Pending without traffic.
func New(clk clock.WithTicker) *Pending {
	return &Pending{
		clock: clk, limiter: rate.NewLimiter(writes, 1), groups: map[string]usageseries.Traffic{},
		queue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Clock: clk}),
	}
}

// Report adds what a server reports of the groups that it serves. What is wrong is left out, and only that.
func (p *Pending) Report(from *session.Session, report *syncv1.TrafficReport) {
	for _, said := range report.GetGroups() {
		if serves, known := from.Serves(said.GetGroup()); !serves {
			if known {
				refused.Inc()
			}
			continue
		}
		p.add(said.GetGroup(), read(said))
		p.refused.add(p.clock, said)
	}
}

// read returns what a server reports, without what nobody could have counted.
func read(said *syncv1.GroupTraffic) usageseries.Traffic {
	seen := usageseries.Traffic{Refusals: map[string]uint64{}, Origins: map[string]uint64{}}
	seen.Public = min(said.GetPublic(), quotaledger.Max)
	for code, requests := range said.GetRefusals() {
		if _, known := decisioncode.Parse(code); !known { // a later server may know more
			code = usageseries.Other
		}
		seen.Refusals[code] += min(requests, quotaledger.Max)
	}
	for _, use := range said.GetOrigins() {
		if text := use.GetOrigin(); isOrigin(text) {
			seen.Origins[text] += min(use.GetRequests(), quotaledger.Max)
		}
	}
	return seen
}

// isOrigin reports whether a text is an origin as servers write it, which is all that is shown.
func isOrigin(text string) bool {
	if len(text) > usageseries.MaxOrigin {
		return false
	}
	o, err := origin.Parse(text)
	return err == nil && o.String() == text
}

func (p *Pending) add(group string, seen usageseries.Traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	is, known := p.groups[group]
	if seen.IsEmpty() || !known && len(p.groups) >= maxGroups {
		return
	}
	if !known {
		is = usageseries.Traffic{Refusals: map[string]uint64{}, Origins: map[string]uint64{}}
	}
	for code, requests := range seen.Refusals {
		is.Refusals[code] = min(is.Refusals[code]+requests, quotaledger.Max)
	}
	for origin, requests := range seen.Origins {
		if was, known := is.Origins[origin]; known || len(is.Origins) < maxOrigins {
			is.Origins[origin] = min(was+requests, quotaledger.Max)
		}
	}
	is.Public = min(is.Public+seen.Public, quotaledger.Max)
	p.addKeys(&is, seen)
	if is.IsEmpty() { // there was no room for any of it
		return
	}
	if !known {
		p.queue.AddAfter(group, recordAfter)
	}
	p.groups[group] = is
}

// Take implements store.Traffic.
func (p *Pending) Take(group string) usageseries.Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.groups[group]
	delete(p.groups, group)
	p.keys -= len(seen.Keys)
	return seen
}

// GiveBack implements store.Traffic.
func (p *Pending) GiveBack(group string, seen usageseries.Traffic) { p.add(group, seen) }

func (p *Pending) has(group string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, has := p.groups[group]
	return has
}

// NeedLeaderElection is true: only the leader counts.
func (p *Pending) NeedLeaderElection() bool { return true }

// Start records the traffic of groups that nothing else has recorded, until the context ends.
func (p *Pending) Start(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.queue.ShutDown)()
	for {
		group, over := p.queue.Get()
		if over {
			return nil
		}
		if p.has(group) && p.limiter.Wait(ctx) == nil && p.has(group) { // something else may have recorded it meanwhile
			p.record(ctx, group)
		}
		p.queue.Done(group)
	}
}

func (p *Pending) record(ctx context.Context, group string) {
	err := p.Record(ctx, group)
	switch {
	case errors.Is(err, store.ErrNoGroup):
		p.Take(group)
	case err != nil && ctx.Err() == nil:
		logf.FromContext(ctx).Error(err, "What was refused cannot be recorded; it will be tried again", "group", group)
		p.queue.AddAfter(group, recordAfter)
	}
}
