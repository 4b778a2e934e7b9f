package quota

import (
	"context"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

// SetKeyQuotas sets whether the manager takes the use of keys. One that does not leases them nothing.
func (t *Tracker) SetKeyQuotas(taken bool) { t.keyQuotas.Store(taken) }

// spendBoth is Spend with a key that has a quota of its own. What it costs is held of the key's while the group's is asked: see
// docs/design/0049-key-quotas.md. If the key has no allowance and the group does not deny that, the request counts as unconfirmed
// for the key, and the group's quota decides.
func (t *Tracker) spendBoth(ctx context.Context, of *decision.Group, key string, cost uint64, now time.Time) (decision.Code, time.Duration) {
	k := t.of(of.Identity, key, of.Limits.Schedule, now)
	held, low := k.hold(cost)
	if low {
		t.report(k.month)
	}
	if !held {
		switch t.await(ctx, k, cost, now) {
		case granted:
			held = true
		case usedUp:
			return t.exceeded(k, now)
		case abandoned:
			return t.unavailable(0)
		case unknown:
			if of.Limits.DenyUnknown {
				return t.unavailable(retryAfter)
			}
		}
	}
	code, wait := t.spend(ctx, of, cost, now)
	switch {
	case code != decision.Allowed && held:
		k.cancel(cost)
	case code != decision.Allowed:
	case held:
		k.spendHeld(cost)
	default:
		k.unconfirmed.Add(cost)
	}
	return code, wait
}

// acquire spends what a request costs of a group's allowance, and holds it of a key's.
func (m *month) acquire(cost uint64) bool {
	if m.key != "" {
		held, _ := m.hold(cost)
		return held
	}
	spent, _ := m.take(int64(cost))
	return spent
}
