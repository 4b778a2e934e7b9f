package quota

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

const limitedKey = "k1"

func ofKey(a *syncv1.Allowance) { a.Key = limitedKey }

func (b *Tracker) useOf(key string) use {
	if m := b.find("tenants/acme", key, "2026-11"); m != nil {
		return m.counts()
	}
	return use{}
}

// TestVerdictsOfKeys: a request of a key with a quota needs a unit of it and one of the group's, or costs neither anything.
func TestVerdictsOfKeys(t *testing.T) {
	unlimited := &decision.Group{Identity: "tenants/acme"}
	metered := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{RequestQuota: true, Metered: true, DenyUnknown: true}}
	onlyKey := func(b *Tracker) { b.lease(5, 1, ofKey) }
	both := func(b *Tracker) { b.lease(5, 1); b.lease(5, 1, ofKey) }
	one := use{leased: 5, sequence: 1, spent: 1, requests: 1}
	all := use{leased: 5, sequence: 1}
	end := 228 * time.Hour // the end of the month
	for _, c := range []struct {
		name           string
		group          *decision.Group
		given          func(b *Tracker)
		code           decision.Code
		wait           time.Duration
		ofGroup, ofKey use
	}{
		{"both have some", limited(true), both, decision.Allowed, 0, one, one},
		{"the group has none", limited(true), onlyKey, decision.QuotaUnavailable, time.Second, use{}, all},
		{"the group has none, which is allowed", limited(false), onlyKey, decision.Allowed, 0, use{requests: 1, unconfirmed: 1}, one},
		{"the group is used up", limited(false), func(b *Tracker) { b.lease(0, 1, exhausted); onlyKey(b) }, decision.QuotaExceeded, end,
			use{sequence: 1}, all},
		{"the key has none", limited(true), func(b *Tracker) { b.lease(5, 1) }, decision.QuotaUnavailable, time.Second, all, use{}},
		{"the key has none, which is allowed", limited(false), func(b *Tracker) { b.lease(5, 1) }, decision.Allowed, 0, one,
			use{requests: 1, unconfirmed: 1}},
		{"the key has none, and the group is used up", limited(false), func(b *Tracker) { b.lease(0, 1, exhausted) },
			decision.QuotaExceeded, end, use{sequence: 1}, use{}},
		{"the key is used up", limited(false), func(b *Tracker) { b.lease(5, 1); b.lease(0, 1, ofKey, exhausted) }, decision.KeyQuotaExceeded, end,
			all, use{sequence: 1}},
		{"both are used up", limited(false), func(b *Tracker) { b.lease(0, 1, exhausted); b.lease(0, 1, ofKey, exhausted) },
			decision.KeyQuotaExceeded, end, use{sequence: 1}, use{sequence: 1}},
		{"the group has no quota", unlimited, onlyKey, decision.Allowed, 0, use{requests: 1}, one},
		{"the group has no quota, and the key none left", unlimited, func(b *Tracker) { b.lease(0, 1, ofKey, exhausted) },
			decision.KeyQuotaExceeded, end, use{}, use{sequence: 1}},
		{"the group is metered", metered, onlyKey, decision.Allowed, 0, use{requests: 1}, one},
		{"the group is metered, and the key has none", metered, nil, decision.QuotaUnavailable, time.Second, use{}, use{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTracker()
			b.SetKeyQuotas(true)
			b.of("tenants/acme", "", c.group.Limits.Schedule, now)
			b.of("tenants/acme", limitedKey, c.group.Limits.Schedule, now)
			if c.given != nil {
				c.given(b)
			}
			code, wait := b.Spend(t.Context(), c.group, limitedKey, 1, now)
			if code != c.code || wait != c.wait {
				t.Errorf("%v for %v, want %v for %v", code, wait, c.code, c.wait)
			}
			if got := b.useOf(""); got != c.ofGroup {
				t.Errorf("the group has used %+v, want %+v", got, c.ofGroup)
			}
			if got := b.useOf(limitedKey); got != c.ofKey {
				t.Errorf("the key has used %+v, want %+v", got, c.ofKey)
			}
			if m := b.find("tenants/acme", limitedKey, "2026-11"); m.held != 0 {
				t.Errorf("%d are held", m.held)
			}
		})
	}
}

// TestKeyWaits: a request waits for the allowance of its key, and then for that of its group; while it does the latter, the unit of
// the key is nobody else's. If its client disconnects, it costs neither anything.
func TestKeyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, at := newTracker(), now
		b.SetConnected(true)
		b.SetKeyQuotas(true)
		request := func(ctx context.Context) chan decision.Code {
			done := make(chan decision.Code, 1)
			go func() {
				code, _ := b.Spend(ctx, limited(true), limitedKey, 1, at)
				done <- code
			}()
			synctest.Wait()
			return done
		}
		ctx, disconnect := context.WithCancel(t.Context())
		defer disconnect()
		first := request(ctx)
		if due := b.Urgent(at); len(due) != 1 || due[0].GetKey() != limitedKey || due[0].GetWants() == 0 {
			t.Fatalf("it is reported that %v", due)
		}
		b.lease(1, 1, ofKey)
		synctest.Wait()
		if due := b.Urgent(at); len(due) != 1 || due[0].GetKey() != "" || due[0].GetWants() == 0 {
			t.Fatalf("then it is reported that %v", due)
		}
		if is := b.useOf(limitedKey); is.spent != 0 || b.find("tenants/acme", limitedKey, "2026-11").held != 1 {
			t.Errorf("while it waits: %+v", is)
		}
		disconnect()
		if code := <-first; code != decision.QuotaUnavailable || b.useOf(limitedKey).spent != 0 {
			t.Errorf("%v, and %+v", code, b.useOf(limitedKey))
		}
		second := request(t.Context())
		b.lease(1, 1)
		if code := <-second; code != decision.Allowed || b.useOf(limitedKey).spent != 1 || b.useOf("").spent != 1 {
			t.Errorf("%v, %+v, %+v", code, b.useOf(limitedKey), b.useOf(""))
		}
	})
}

// TestKeyQuotasAreAFeature: to a manager that does not take the use of keys, none is reported, and it is not waited for.
func TestKeyQuotasAreAFeature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, began := newTracker(), time.Now()
		b.SetConnected(true)
		b.month("tenants/acme", now)
		b.lease(100, 1)
		for deny, want := range map[bool]decision.Code{true: decision.QuotaUnavailable, false: decision.Allowed} {
			if code, _ := b.Spend(t.Context(), limited(deny), limitedKey, 1, now); code != want {
				t.Errorf("deny is %v: %v", deny, code)
			}
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("it waited for %v", waited)
		}
		due := append(b.Urgent(now), b.Due(now, true)...)
		if len(due) != 1 || due[0].GetKey() != "" {
			t.Errorf("it is reported that %v", due)
		}
		recorded := due[0]
		b.lease(100, 1, func(a *syncv1.Allowance) { a.Recorded = recorded })
		if !b.Reported() {
			t.Error("what cannot be reported is waited for")
		}
		b.SetKeyQuotas(true)
		if due := b.Due(now, true); len(due) != 2 || b.Reported() {
			t.Errorf("to a later manager it is reported that %v", due)
		}
	})
}

// TestRefusedKey: a manager that has not heard yet of the quota of a key is asked again soon.
func TestRefusedKey(t *testing.T) {
	b := newTracker()
	b.SetKeyQuotas(true)
	b.Spend(t.Context(), limited(true), limitedKey, 1, now)
	b.lease(0, 0, ofKey, func(a *syncv1.Allowance) { a.Refused = "it has none" })
	b.Spend(t.Context(), limited(true), limitedKey, 1, now)
	if due := b.Urgent(now); len(due) > 0 {
		t.Errorf("at once it is reported that %v", due)
	}
	b.Spend(t.Context(), limited(true), limitedKey, 1, now)
	if due := b.Urgent(now.Add(keyRefusedPause)); len(due) != 1 || due[0].GetWants() == 0 {
		t.Errorf("later it is reported that %v", due)
	}
}

// TestKeysAreForgotten as groups are, and an allowance for a key of another group is not one for this key.
func TestKeysAreForgotten(t *testing.T) {
	b := newTracker()
	b.SetKeyQuotas(true)
	b.Spend(t.Context(), limited(false), limitedKey, 1, now)
	b.lease(5, 1, ofKey, func(a *syncv1.Allowance) { a.Group = "tenants/other" })
	if is := b.useOf(limitedKey); is.leased != 0 {
		t.Errorf("it has %+v", is)
	}
	b.Due(now.AddDate(0, 1, 0), false)
	if b.find("tenants/acme", limitedKey, "2026-11") == nil {
		t.Error("the last period is forgotten")
	}
	b.Due(now.AddDate(0, 2, 0), false)
	if _, known := b.keys.Load(limitedKey); known {
		t.Error("it is kept for ever")
	}
}
