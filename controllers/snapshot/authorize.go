package snapshot

import "context"

// may is whether the server may have a group that it selects, asked once a subscription.
func (s *Subscription) may(ctx context.Context, group string) (bool, error) {
	if s.subscriber.Authorize == nil {
		return true, nil
	}
	h := s.hub
	h.mu.Lock()
	allowed, decided := s.decided[group]
	h.mu.Unlock()
	if decided {
		return allowed, nil
	}
	allowed, err := s.subscriber.Authorize(ctx, group)
	if err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.decided[group] = allowed
	if entry := h.groups[group]; entry != nil && s.isCounted(group) {
		entry.servers++
		h.recounted()
	}
	delete(s.undecided, group)
	if !allowed {
		h.evaluateAfter(s.acked) // it was counted until now
	}
	return allowed, nil
}

// authorize decides about groups that appeared since the server subscribed.
func (s *Subscription) authorize(ctx context.Context) error {
	for _, group := range s.takeUndecided() {
		if _, err := s.may(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

func (s *Subscription) takeUndecided() []string {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	var groups []string
	for group := range s.undecided {
		groups = append(groups, group)
	}
	return groups
}

func (s *Subscription) refused(group string) bool {
	allowed, decided := s.decided[group]
	return decided && !allowed
}
