package publish

import (
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// periodRecord says when the quotas of a Group are reset; nil for calendar months, which earlier servers know, too.
func periodRecord(schedule quotaledger.Schedule) *syncv1.QuotaPeriod {
	if schedule == (quotaledger.Schedule{}) {
		return nil
	}
	record := &syncv1.QuotaPeriod{AnchorDay: uint32(schedule.AnchorDay())}
	for _, kept := range schedule.Kept() {
		record.Starts = append(record.Starts, kept.Days())
	}
	return record
}

// costRecord is what a request of a capability counts as; nil for 1, which earlier servers know, too.
func costRecord(cost *int32) *uint32 {
	if cost == nil || *cost == 1 {
		return nil
	}
	return new(uint32(max(0, *cost)))
}
