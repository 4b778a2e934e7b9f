package store

import (
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

func scheduleOf(wire *syncv1.QuotaPeriod) quotaledger.Schedule {
	var kept []quotaledger.Period
	for _, days := range wire.GetStarts() {
		kept = append(kept, quotaledger.PeriodFromDays(days))
	}
	return quotaledger.NewSchedule(int(wire.GetAnchorDay()), kept...)
}

// Schedule returns when the periods of a group's quotas begin.
func (s *Store) Schedule(identity string) quotaledger.Schedule {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if group := s.groups[identity]; group != nil {
		return group.compiled.Limits.Schedule
	}
	return quotaledger.Schedule{}
}

// costOf returns how many requests a request of a capability counts as.
func costOf(wire *syncv1.Capability) uint32 {
	if wire.Cost == nil {
		return 1
	}
	return min(wire.GetCost(), quotaledger.MaxCost)
}

// appendQuota adds whether the key has a quota of its own. It is not encoded if it has none.
func (k *keyRecord) appendQuota(limited bool) {
	if limited {
		k.scope = appendNumber(k.scope, keyQuota, 1)
	}
}
