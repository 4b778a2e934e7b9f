package syncserver

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/publish"
)

const (
	// reviewInterval is how often the rights of a connected server are reviewed, and reviewedFor how old the review of
	// another server of the account may be to be used: together less than a minute.
	reviewInterval = 45 * time.Second
	reviewedFor    = 10 * time.Second
	// refusedFor is how long a refusal is valid for a server that connects. For a connected server it is valid for
	// recheckRefused.
	refusedFor     = 10 * time.Second
	recheckRefused = 10 * time.Minute
	// For an account that may have few of many groups, each group is asked for: so many per second, for all accounts.
	explored, exploredAtOnce = 1000, 10_000
	// maxIdleRights is how many accounts without a stream are kept.
	maxIdleRights = 1000
)

// groupName is what an account asks for: a group, all groups of a namespace if the name is empty, or all groups.
type groupName struct{ namespace, name string }

func groupNameOf(group string) groupName {
	namespace, name, _ := strings.Cut(group, "/")
	return groupName{namespace, name}
}

// verdict is an answer of the API server, and when it was given.
type verdict struct {
	allowed bool
	at      time.Time
}

// forever is the maximum age of an answer.
const forever = time.Duration(math.MaxInt64)

// ask asks the API server.
type ask func(ctx context.Context, q groupName) (bool, error)

// rights is what the servers of one account may validate, as far as that was asked. No matter how many servers the account
// has, the API server is asked once about a group, and again every minute while the group is allowed.
//
// Callers that ask the API server hold asking, and take it before mu. mu is held for look-ups only, so that callers that need
// no answer from the API server do not wait for one. The Hub calls known with its own lock held: nothing that holds mu calls
// the Hub. A verdict is written under both locks, so none changes while asking is held. streams and left are not
// guarded by mu, but by the lock of the registry.
type rights struct {
	ask     ask
	clock   clock.PassiveClock
	limiter *rate.Limiter // of explore; shared by all accounts
	opens   *rate.Limiter // of streams

	asking sync.Mutex

	mu       sync.Mutex
	verdicts map[groupName]verdict
	reviewed time.Time // when review was last complete

	// The lock of the registry guards the rest.
	streams int
	left    time.Time // when the last stream ended
}

func newRights(ask ask, clk clock.PassiveClock, limiter *rate.Limiter, streams int) *rights {
	return &rights{
		ask: ask, clock: clk, limiter: limiter, opens: rate.NewLimiter(opened, 2*streams), verdicts: map[groupName]verdict{},
	}
}

// known returns the last answer, and whether there is one that is not older than the given ages.
func (r *rights) known(q groupName, allowedFor, refusedFor time.Duration) (allowed, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, asked := r.verdicts[q]
	age := r.clock.Since(v.at)
	return asked && v.allowed, asked && (v.allowed && age <= allowedFor || !v.allowed && age <= refusedFor)
}

// may reports whether the account may have what it asks for.
func (r *rights) may(ctx context.Context, q groupName) (bool, error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	return r.mayAlone(ctx, q)
}

// mayAlone is may for a caller that holds asking.
func (r *rights) mayAlone(ctx context.Context, q groupName) (bool, error) {
	if allowed, known := r.known(q, reviewInterval, refusedFor); known {
		return allowed, nil
	}
	allowed, err := r.ask(ctx, q)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts[q] = verdict{allowed, r.clock.Now()}
	return allowed, nil
}

// group reports whether the account may have a group, as far as that is known; it is for servers that are connected. An
// allowed group stays allowed until a review says otherwise.
func (r *rights) group(group string) (allowed, known bool) {
	q := groupNameOf(group)
	for _, wider := range []groupName{{}, {namespace: q.namespace}} {
		if allowed, _ := r.known(wider, forever, 0); allowed {
			return true, true
		}
	}
	return r.known(q, forever, recheckRefused)
}

// askGroup asks whether the account may have a group that is new.
func (r *rights) askGroup(ctx context.Context, group string) (bool, error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	q := groupNameOf(group)
	if allowed, err := r.mayAlone(ctx, groupName{namespace: q.namespace}); allowed || err != nil {
		return allowed, err
	}
	return r.mayAlone(ctx, q)
}

// explore asks which of the groups the account may have: first for all, then by namespace, then by group. It reports
// whether there is any.
func (r *rights) explore(ctx context.Context, groups []string, home string) (some bool, err error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	if all, err := r.mayAlone(ctx, groupName{}); all || err != nil {
		return all, err
	}
	namespaces := map[string]bool{}
	for _, group := range groups {
		namespaces[groupNameOf(group).namespace] = false
	}
	if home != "" {
		namespaces[home] = false // its first Group may still be to come
	}
	for namespace := range namespaces {
		allowed, err := r.exploreOne(ctx, groupName{namespace: namespace})
		if err != nil {
			return false, err
		}
		namespaces[namespace] = allowed
		some = some || allowed
	}
	for _, group := range groups {
		q := groupNameOf(group)
		if namespaces[q.namespace] {
			continue
		}
		allowed, err := r.exploreOne(ctx, q)
		if err != nil {
			return false, err
		}
		some = some || allowed
	}
	return some, nil
}

func (r *rights) exploreOne(ctx context.Context, q groupName) (bool, error) {
	if allowed, known := r.known(q, reviewInterval, refusedFor); known {
		return allowed, nil
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return false, err
	}
	return r.mayAlone(ctx, q)
}

// review asks again about everything that is allowed, unless that was done a moment ago for another server.
func (r *rights) review(ctx context.Context) error {
	r.asking.Lock()
	defer r.asking.Unlock()
	r.mu.Lock()
	recent := r.clock.Since(r.reviewed) < reviewedFor
	var allowed []groupName
	for q, v := range r.verdicts {
		if v.allowed {
			allowed = append(allowed, q)
		} else if r.clock.Since(v.at) > recheckRefused {
			delete(r.verdicts, q)
		}
	}
	r.mu.Unlock()
	if recent {
		return nil
	}
	for _, q := range allowed {
		still, err := r.ask(ctx, q)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.verdicts[q] = verdict{still, r.clock.Now()}
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.reviewed = r.clock.Now()
	r.mu.Unlock()
	return nil
}

// registry has the rights of accounts. Its lock guards byKey, and streams and left of all rights in it; an account with a
// stream is never forgotten, so all its streams share one rights.
type registry struct {
	make  func(identity) *rights
	clock clock.PassiveClock

	mu    sync.Mutex
	byKey map[string]*rights
}

// of returns the rights of an account for one more stream of it. The caller calls leave when the stream ends.
func (g *registry) of(id identity) (r *rights, leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := id.rightsKey()
	r = g.byKey[key]
	if r == nil {
		g.forget()
		r = g.make(id)
		g.byKey[key] = r
	}
	r.streams++
	return r, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if r.streams--; r.streams == 0 {
			r.left = g.clock.Now()
		}
	}
}

// forget makes room: it drops the accounts without a stream whose last stream ended first. The caller holds the lock.
func (g *registry) forget() {
	var idle []string
	for name, r := range g.byKey {
		switch {
		case r.streams > 0:
		case g.clock.Since(r.left) > refusedFor:
			delete(g.byKey, name)
		default:
			idle = append(idle, name)
		}
	}
	if len(idle) < maxIdleRights {
		return
	}
	slices.SortFunc(idle, func(a, b string) int { return g.byKey[a].left.Compare(g.byKey[b].left) })
	for _, name := range idle[:len(idle)-maxIdleRights/2] {
		delete(g.byKey, name)
	}
}

// selection is what one server has asked for, and what it may have of that. It implements publish.Authorizer.
type selection struct {
	publish.Selection

	rights *rights
}

// groupNames returns what must be allowed for the server to have everything that it selects.
func (s *selection) groupNames() []groupName {
	if s.Everything() {
		return []groupName{{}}
	}
	var all []groupName
	for _, group := range slices.Sorted(maps.Keys(s.Groups)) {
		all = append(all, groupNameOf(group))
	}
	for _, namespace := range slices.Sorted(maps.Keys(s.Namespaces)) {
		all = append(all, groupName{namespace: namespace})
	}
	return all
}

// All implements publish.Authorizer.
func (s *selection) All() bool {
	if allowed, _ := s.rights.known(groupName{}, forever, 0); allowed {
		return true
	}
	for _, q := range s.groupNames() {
		if allowed, _ := s.rights.known(q, forever, 0); !allowed {
			return false
		}
	}
	return true
}

// Known implements publish.Authorizer.
func (s *selection) Known(group string) (allowed, known bool) { return s.rights.group(group) }

// Ask implements publish.Authorizer.
func (s *selection) Ask(ctx context.Context, group string) (bool, error) {
	return s.rights.askGroup(ctx, group)
}
