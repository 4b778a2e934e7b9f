package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// hourly is a Redis whose clock the test sets.
type hourly struct {
	*store.Redis
	clock *clocktesting.FakePassiveClock
	raw   *redis.Client
}

func openHourly(t *testing.T) *hourly {
	t.Helper()
	address := startRedis(t, t.TempDir())
	h := &hourly{clock: clocktesting.NewFakePassiveClock(this.Begin().Add(90 * time.Minute)), raw: redis.NewClient(&redis.Options{Addr: address})}
	var err error
	if h.Redis, err = store.OpenRedis("redis://"+address+"/0", "test:", h.clock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.raw.Close()
		_ = h.Close()
	})
	return h
}

type failing interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (h *hourly) hours(t failing, group string) map[usageseries.Hour]usageseries.HourUse {
	t.Helper()
	hours, err := h.Hours(context.Background(), group)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return hours
}

// use returns an entry as the leader makes it of one that it has loaded or saved: a server has reported more.
func use(entry store.Entry, server string, requests, bytes uint64) store.Entry {
	before := entry.Ledger.Total()
	ledger := entry.Ledger.Clone()
	counts := ledger.Servers[server]
	counts.Requests += requests
	counts.Bytes += bytes
	if err := ledger.Report(server, counts); err != nil {
		panic(err)
	}
	return store.Entry{Ledger: ledger, Version: entry.Version, Before: before}
}

func (h *hourly) save(t failing, key store.Key, entry store.Entry) store.Entry {
	t.Helper()
	version, err := h.Save(context.Background(), key, entry, store.Totals{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return store.Entry{Ledger: entry.Ledger, Version: version}
}

// TestHours: what a ledger grows by is in the hour in which it is written, in every period that is written in it, and nothing else is.
func TestHours(t *testing.T) {
	h := openHourly(t)
	group := "default/acme"
	key, earlier, ofKey := store.Key{Group: group, Period: this}, store.Key{Group: group, Period: last}, store.Key{Group: group, Period: this, Owner: "k1"}
	first := usageseries.HourOf(h.clock.Now())
	if got := h.hours(t, group); len(got) != 0 {
		t.Errorf("nothing was used: %v", got)
	}
	entry := h.save(t, key, use(load(t, h, key), "a", 5, 100))
	entry = h.save(t, key, use(entry, "b", 7, 0))
	h.save(t, ofKey, use(load(t, h, ofKey), "a", 5, 0))
	entry = h.save(t, key, use(entry, "b", 0, 0)) // a lease only
	h.clock.SetTime(first.Begin().Add(time.Hour))
	entry = h.save(t, key, use(entry, "b", 0, 0))
	if got, want := h.hours(t, group), (map[usageseries.Hour]usageseries.HourUse{first: {Requests: 12, Bytes: 100}}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	late := h.save(t, earlier, use(load(t, h, earlier), "a", 1000, 1))
	h.save(t, key, use(entry, "a", 1, 0))
	h.clock.SetTime(h.clock.Now().Add(-time.Minute)) // turned back, into the hour before
	h.save(t, earlier, use(late, "a", 3, 0))
	want := map[usageseries.Hour]usageseries.HourUse{first: {Requests: 15, Bytes: 100}, first + 1: {Requests: 1001, Bytes: 1}}
	if got := h.hours(t, group); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := h.hours(t, "default/other"); len(got) != 0 {
		t.Errorf("another Group has %v", got)
	}
	// Those of a Group that was deleted, so that nothing is written, expire.
	left, err := h.raw.TTL(t.Context(), "test:usage:{default/acme}:hours").Result()
	if err != nil || left < 192*time.Hour || left > 193*time.Hour {
		t.Errorf("they expire in %s, %v", left, err)
	}
}

// TestHoursOfWhatIsKnown: a ledger that begins with what is known to be used, as one that was in another store, has that in no hour.
func TestHoursOfWhatIsKnown(t *testing.T) {
	h := openHourly(t)
	key := store.Key{Group: "default/acme", Period: this}
	known := store.Entry{Ledger: quotaledger.Recover(400_000, 3, 9_000)}
	entry := h.save(t, key, use(known, "a", 10, 20)) // a part of what is known
	if got := h.hours(t, key.Group); len(got) != 0 {
		t.Errorf("%v", got)
	}
	h.save(t, key, use(entry, "a", 2, 5))
	want := map[usageseries.Hour]usageseries.HourUse{usageseries.HourOf(h.clock.Now()): {Requests: 2, Bytes: 5}}
	if got := h.hours(t, key.Group); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestHoursAreExact: leaders that do not know of each other, whose answers get lost and who write again, and at any hour: the hours add up to
// the ledger at each step.
func TestHoursAreExact(t *testing.T) {
	h := openHourly(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := store.Key{Group: fmt.Sprintf("default/exact-%d", n), Period: this}
		leaders := make([]store.Entry, 3)
		for i := range leaders {
			leaders[i] = load(rt, h, key)
		}
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			h.clock.SetTime(this.Begin().Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "minutes")) * time.Minute))
			leader := &leaders[rapid.IntRange(0, len(leaders)-1).Draw(rt, "leader")]
			write := use(*leader, fmt.Sprint("server-", step%2), rapid.Uint64Range(0, 9).Draw(rt, "requests"), rapid.Uint64Range(0, 1e12).Draw(rt, "bytes"))
			version, err := h.Save(context.Background(), key, write, store.Totals{})
			switch {
			case errors.Is(err, store.ErrConflict):
				*leader = load(rt, h, key)
			case err != nil:
				rt.Fatal(err)
			case rapid.Bool().Draw(rt, "the answer is lost"):
				if _, err := h.Save(context.Background(), key, write, store.Totals{}); !errors.Is(err, store.ErrConflict) {
					rt.Fatalf("the same write again: %v", err)
				}
			default:
				*leader = store.Entry{Ledger: write.Ledger, Version: version}
			}
			sum := usageseries.HourUse{}
			for _, use := range h.hours(rt, key.Group) {
				sum.Requests, sum.Bytes = sum.Requests+use.Requests, sum.Bytes+use.Bytes
			}
			if total := load(rt, h, key).Ledger.Total(); sum.Requests != total.Requests || sum.Bytes != total.Bytes {
				rt.Fatalf("the hours have %+v, the ledger %+v", sum, total)
			}
		}
	})
}

// trim is what a write leaves of the hours that there are, with its own.
func trim(hours []usageseries.Hour, now usageseries.Hour) []usageseries.Hour {
	if slices.Contains(hours, now) {
		return hours
	}
	return append(slices.DeleteFunc(slices.Clone(hours), func(hour usageseries.Hour) bool {
		return hour <= now-usageseries.MaxHours || hour > now+usageseries.HoursAhead
	}), now)
}

// TestHoursAreBounded: regardless of what the clock does, at most 192 hours are kept, and the running one is. With a clock that is right, they are the
// last; one that is turned back by up to a day takes none of those that are in them.
func TestHoursAreBounded(t *testing.T) {
	h := openHourly(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := store.Key{Group: fmt.Sprintf("default/bounded-%d", n), Period: this}
		entry, now, model := load(rt, h, key), usageseries.HourOf(this.Begin()), []usageseries.Hour(nil)
		step := rapid.OneOf(rapid.Just(1), rapid.IntRange(-30, 30), rapid.IntRange(-1000, 1000))
		for range rapid.IntRange(1, 4).Draw(rt, "changes of the clock") {
			now += usageseries.Hour(step.Draw(rt, "hours"))
			for range rapid.IntRange(1, 100).Draw(rt, "hours in a row") {
				now++
				h.clock.SetTime(now.Begin())
				entry = h.save(rt, key, use(entry, "a", 1, 0))
				model = trim(model, now)
			}
			got := slices.Sorted(maps.Keys(h.hours(rt, key.Group)))
			if slices.Sort(model); !slices.Equal(got, model) || len(got) > usageseries.MaxHours || !slices.Contains(got, now) {
				rt.Fatalf("at %d: %v, want %v", now, got, model)
			}
		}
	})
	key := store.Key{Group: "default/right", Period: this}
	entry, begin := load(t, h, key), usageseries.HourOf(this.Begin())
	for hour := range usageseries.Hour(400) {
		h.clock.SetTime((begin + hour).Begin())
		entry = h.save(t, key, use(entry, "a", 1, 0))
	}
	got := slices.Sorted(maps.Keys(h.hours(t, key.Group)))
	if len(got) != usageseries.MaxHours || got[0] != begin+400-usageseries.MaxHours || got[len(got)-1] != begin+399 {
		t.Errorf("%d hours, from %d to %d", len(got), got[0]-begin, got[len(got)-1]-begin)
	}
	h.clock.SetTime((begin + 380).Begin())
	h.save(t, key, use(entry, "a", 1, 0))
	if after := slices.Sorted(maps.Keys(h.hours(t, key.Group))); !slices.Equal(after, got) {
		t.Errorf("the clock was turned back, and %d hours are left", len(after))
	}
}

// TestHoursThatAreNone: what somebody else has written in place of the hours, or into them, costs no ledger, and is not shown.
func TestHoursThatAreNone(t *testing.T) {
	h := openHourly(t)
	key, name := store.Key{Group: "default/acme", Period: this}, "test:usage:{default/acme}:hours"
	entry := h.save(t, key, use(load(t, h, key), "a", 5, 0))
	if err := h.raw.Set(t.Context(), name, "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Save(t.Context(), key, use(entry, "a", 1, 0), store.Totals{}); err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("a hash that is none: %v", err)
	}
	if got := load(t, h, key); got.Version != entry.Version || !got.Ledger.Equal(entry.Ledger) {
		t.Errorf("%+v is left of the ledger", got)
	}
	if _, err := h.Hours(t.Context(), key.Group); err == nil {
		t.Error("a hash that is none is read")
	}
	running := fmt.Sprint(int64(usageseries.HourOf(h.clock.Now())))
	for _, text := range []string{"", "5", "a b", "-1 2", "1 2 3", "1e3 1", "99999999999999999999999 1"} {
		h.raw.Del(t.Context(), name)
		h.raw.HSet(t.Context(), name, running, text, "yesterday", "1 1")
		if got := h.hours(t, key.Group); len(got) != 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
	h.raw.HSet(t.Context(), name, running, "9007199254740991 9007199254740990")
	h.save(t, key, use(entry, "a", 5, 5))
	want := map[usageseries.Hour]usageseries.HourUse{usageseries.HourOf(h.clock.Now()): {Requests: 1<<53 - 1, Bytes: 1<<53 - 1}}
	if got := h.hours(t, key.Group); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
