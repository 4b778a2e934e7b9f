package publish

import (
	"context"
	"maps"
)

// Authorizer says which of the groups that a subscriber selects it may have. All and Known are called with the Hub
// locked: they answer from memory, must not block, and must not call the Hub.
type Authorizer interface {
	// All reports whether the subscriber may have everything that it selects.
	All() bool
	// Known reports whether it may have the group, and whether that is known.
	Known(group string) (allowed, known bool)
	// Ask finds out whether it may have the group. It is called without the Hub's lock and may block.
	Ask(ctx context.Context, group string) (allowed bool, err error)
}

// mayHave reports whether the subscriber may have the group. While that is not known the answer is no, so that no change
// waits for it: nothing of the group was sent to it, and it cannot accept any of the group's keys.
func (s *Subscription) mayHave(group string) bool {
	if !s.subscriber.Selection.Selects(group) {
		return false
	}
	if s.all {
		return true
	}
	_, allowed := s.allowed[group]
	return allowed
}

// Serves reports whether the group is published and the server may have it; known is false while the Authorizer is
// being asked.
func (s *Subscription) Serves(group string) (serves, known bool) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[group] == nil || !s.subscriber.Selection.Selects(group) {
		return false, true
	}
	_, asked := s.undecided[group]
	return s.mayHave(group), !asked
}

// Has reports whether the server may have the group, and has it or has been sent it: a request that it allowed with one of
// the group's keys may have been allowed correctly. That holds for a closed subscription, too.
func (s *Subscription) Has(group string) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.has(group)
}

func (s *Subscription) has(group string) bool {
	if !s.mayHave(group) {
		return false
	}
	if s.caughtUp || s.servesSnapshot {
		return true
	}
	if s.isDisconnected() {
		return false // it never had a complete snapshot, and allows nothing before it has one
	}
	return !s.isQueued(group)
}

// ServesKey reports whether the key is one of the group, and the server may have that.
func (s *Subscription) ServesKey(group, id string) bool {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	entry := h.keys[id]
	return entry != nil && entry.record.GetGroup() == group && s.mayHave(group)
}

// ask asks the Authorizer about one undecided group. It is one at a time, so that updates of other groups are delayed by
// one call at most.
func (s *Subscription) ask(ctx context.Context) (asked bool, err error) {
	group, some := s.nextUndecided()
	if !some {
		return false, nil
	}
	allowed, err := s.subscriber.Authorizer.Ask(ctx, group)
	if err != nil {
		return false, err
	}
	s.decide(group, allowed)
	return true, nil
}

func (s *Subscription) nextUndecided() (group string, some bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for group := range s.undecided {
		return group, true
	}
	return "", false
}

func (s *Subscription) decide(group string, allowed bool) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(s.undecided, group)
	if s.isDisconnected() {
		return
	}
	switch had := s.mayHave(group); {
	case allowed && !had:
		h.revision++
		s.grant(group)
	case !allowed && had:
		h.revision++
		s.withdraw(group)
		h.evaluateAfter(s.ackedEverywhere())
	}
}

// grant lets the server have a group, and has the whole group sent to it. Where no record has changed, the caller has raised
// the revision: an update must have another one than the last, or its acknowledgement says nothing new.
func (s *Subscription) grant(group string) {
	s.allowed[group] = struct{}{}
	delete(s.undecided, group)
	entry := s.hub.groups[group]
	if entry == nil {
		return
	}
	if s.sharesLimits(group) {
		entry.servers++
		s.hub.peersChanged()
	}
	s.enter(group)
	s.signal()
}

// withdraw takes a group from the server, which then no longer counts for the enforcement of the group. As with grant, the
// caller has raised the revision.
func (s *Subscription) withdraw(group string) {
	h := s.hub
	if entry := h.groups[group]; entry != nil && s.sharesLimits(group) {
		entry.servers--
		h.peersChanged()
	}
	delete(s.allowed, group)
	if s.isDisconnected() {
		return
	}
	delete(s.incomplete, group)
	if s.slicing.group == group {
		s.slicing = slicing{}
	}
	s.withdrawn[group] = struct{}{}
	s.groups[group] = struct{}{}
	maps.DeleteFunc(s.keys, func(_, of string) bool { return of == group })
	s.signal()
}

// Review applies what the Authorizer knows now: groups that the server may not have any more are withdrawn, and groups that
// it may have now are sent.
func (s *Subscription) Review() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	authorizer := s.subscriber.Authorizer
	if authorizer == nil || s.isDisconnected() {
		return
	}
	all := authorizer.All()
	if all && s.all {
		return
	}
	if s.all { // it had every selected group; from now on each one is recorded
		for group := range h.groups {
			if s.subscriber.Selection.Selects(group) {
				s.allowed[group] = struct{}{}
			}
		}
		s.all = false
	}
	for group := range h.groups {
		if !s.subscriber.Selection.Selects(group) {
			continue
		}
		allowed, known := all, all
		if !all {
			allowed, known = authorizer.Known(group)
		}
		switch has := s.mayHave(group); {
		case !known:
			s.undecided[group] = struct{}{}
			s.signal()
		case allowed && !has:
			h.revision++
			s.grant(group)
		case !allowed && has:
			h.revision++
			s.withdraw(group)
		}
	}
	s.forgetGone()
	if s.all = all; all {
		s.allowed = map[string]struct{}{}
	}
	h.evaluateAfter(0)
}

// forgetGone drops groups that no longer exist, once the server has acknowledged that.
func (s *Subscription) forgetGone() {
	if !s.caughtUp || len(s.groups)+len(s.keys)+len(s.inFlight) > 0 {
		return
	}
	for group := range s.allowed {
		if s.hub.groups[group] == nil {
			delete(s.allowed, group)
		}
	}
}
