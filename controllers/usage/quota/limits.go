package quota

import (
	"math"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
)

// Limits are the quotas of a group; nil is unlimited.
type Limits struct {
	Requests, Bytes *uint64
	// Schedule says when the periods of the quotas begin.
	Schedule quotaledger.Schedule
	// Metered reports whether requests beyond the quota are allowed and counted as overage.
	Metered bool
}

// LimitsOf are the quotas of a Group as they are in force.
func LimitsOf(group *v1alpha1.Group) Limits {
	of := tier.InForce(group)
	limits := Limits{Metered: of.Overage == v1alpha1.OverageMeter, Schedule: tier.Schedule(group)}
	if of.RequestsPerMonth != nil && *of.RequestsPerMonth >= 0 {
		limits.Requests = new(uint64(*of.RequestsPerMonth))
	}
	if of.BytesPerMonth != nil && of.BytesPerMonth.Sign() >= 0 {
		limits.Bytes = new(uint64(of.BytesPerMonth.Value()))
	}
	return limits
}

func (l Limits) equal(other Limits) bool {
	same := func(a, b *uint64) bool { return a == b || a != nil && b != nil && *a == *b }
	return l.Metered == other.Metered && l.Schedule == other.Schedule && same(l.Requests, other.Requests) && same(l.Bytes, other.Bytes)
}

// usedUp reports whether all bytes are used.
func (l Limits) usedUp(total quotaledger.Counters) bool {
	return !l.Metered && l.Bytes != nil && total.Bytes >= *l.Bytes
}

// quota returns how many requests may be leased in all.
func (l Limits) quota(total quotaledger.Counters) uint64 {
	switch {
	case l.usedUp(total):
		return 0
	case l.Requests == nil || l.Metered:
		return math.MaxUint64
	default:
		return *l.Requests
	}
}

// totals returns the totals of a ledger that are shown.
func (l Limits) totals(total quotaledger.Counters) store.Totals {
	totals := store.Totals{Requests: total.Requests, Bytes: total.Bytes, Unconfirmed: total.Unconfirmed}
	if l.Metered {
		totals.OverageRequests = excess(total.Requests, l.Requests)
		totals.OverageBytes = excess(total.Bytes, l.Bytes)
	}
	return totals
}

func excess(used uint64, quota *uint64) uint64 {
	if quota == nil || used <= *quota {
		return 0
	}
	return used - *quota
}
