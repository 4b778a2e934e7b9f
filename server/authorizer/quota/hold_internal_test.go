package quota

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var began = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func allowed(leased uint64) *month {
	m := newMonth("tenants/acme", "", quotaledger.PeriodFrom(began))
	m.allow(&syncv1.Allowance{Leased: leased, Sequence: 1}, began)
	return m
}

func (m *month) counts() use {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.use()
}

// TestHold: what is held can neither be spent nor given back, and is spent only when its request is allowed.
func TestHold(t *testing.T) {
	m := allowed(10)
	if held, low := m.hold(6); !held || !low {
		t.Fatalf("held %v, low %v", held, low)
	}
	if spent, _ := m.take(5); spent {
		t.Error("what is held was spent")
	}
	if is := m.counts(); is.spent != 0 || is.leased != 10 {
		t.Errorf("while 6 are held: %+v", is)
	}
	m.allow(&syncv1.Allowance{Leased: 10, Sequence: 1, Recall: true}, began)
	if is := m.counts(); is.spent != 0 || is.leased != 6 {
		t.Errorf("after a recall: %+v", is)
	}
	m.cancel(4)
	m.spendHeld(2)
	if is := m.counts(); is.spent != 2 || is.leased != 6 || m.left.Load() != 4 {
		t.Errorf("in the end: %+v, %d left", is, m.left.Load())
	}
}

// TestHeldAtEnd: the last report counts what is held as spent, however its request ends.
func TestHeldAtEnd(t *testing.T) {
	for _, end := range []func(*month, uint64){(*month).spendHeld, (*month).cancel} {
		m := allowed(10)
		m.hold(3)
		if last := m.report(began, true, true); last.GetSpent() != 3 || last.GetLeased() != 3 || !last.GetClosed() {
			t.Errorf("the last report is %v", last)
		}
		end(m, 3)
		if is := m.counts(); is.spent != 3 || is.leased != 3 {
			t.Errorf("after it: %+v", is)
		}
		if held, _ := m.hold(1); held {
			t.Error("something was held after the last report")
		}
	}
}

// TestPaceWhileHeld: what is held when an allowance is raised does not make the pace negative.
func TestPaceWhileHeld(t *testing.T) {
	m := allowed(10)
	m.hold(8)
	m.allow(&syncv1.Allowance{Leased: 20, Sequence: 2}, began)
	m.cancel(8)
	for range 19 {
		m.take(1)
	}
	// 19 in a second are 5700 in the five minutes that an allowance lasts.
	if wants := m.report(began.Add(time.Second), false, true).GetWants(); wants != 5700 {
		t.Errorf("it wants %d", wants)
	}
}

// TestHoldTogether: concurrent requests for two allowances spend the same of both, and what is reported never decreases.
func TestHoldTogether(t *testing.T) {
	key, group := allowed(1000), allowed(700)
	var requests sync.WaitGroup
	var admitted [8]uint64
	for i := range admitted {
		requests.Go(func() {
			for range 200 {
				if spendBoth(key, group, 1) {
					admitted[i]++
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		requests.Wait()
		close(done)
	}()
	for before, over := uint64(0), false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		is := key.counts()
		if is.spent < before || is.spent > 700 {
			t.Errorf("%d spent, after %d", is.spent, before)
		}
		before = is.spent
	}
	sum := uint64(0)
	for _, n := range admitted {
		sum += n
	}
	if sum != 700 || key.counts().spent != 700 || group.counts().spent != 700 || key.left.Load() != 300 {
		t.Errorf("%d admitted, %+v and %+v", sum, key.counts(), group.counts())
	}
}

// spendBoth is a request that two allowances have to allow.
func spendBoth(key, group *month, cost uint64) bool {
	if held, _ := key.hold(cost); !held {
		return false
	}
	if spent, _ := group.take(int64(cost)); !spent {
		key.cancel(cost)
		return false
	}
	key.spendHeld(cost)
	return true
}

// owner is what has a quota, a key or its group, with its ledger and its counters on each server.
type owner struct {
	quota  uint64
	ledger quotaledger.Ledger
	months map[string]*month
	peers  map[string]quotaledger.Peer
}

// round reports the counters of a server, and delivers what is leased to it for that.
func (o *owner) round(t *rapid.T, server string, closing bool) {
	m := o.months[server]
	report := m.report(began, closing, true)
	peer := quotaledger.Peer{Presence: quotaledger.Connected}
	if report != nil {
		counts := quotaledger.Counters{
			Leased: report.GetLeased(), Sequence: report.GetSequence(), Spent: report.GetSpent(), Requests: report.GetRequests(),
			Closed: report.GetClosed(),
		}
		for range 2 { // the same report again changes nothing
			if err := o.ledger.Report(server, counts); err != nil {
				t.Fatal(err)
			}
		}
		peer.Wants, peer.Needs, peer.Sequence, peer.Asked = report.GetWants(), report.GetNeeds(), report.GetSequence(), o.peers[server].Asked
	}
	o.peers[server] = peer
	outcome := o.ledger.Allow(o.quota, o.peers)
	recall := map[string]bool{}
	for _, other := range outcome.Recall {
		recall[other] = true
	}
	for other, of := range o.months {
		a := o.ledger.Servers[other]
		of.allow(&syncv1.Allowance{Leased: a.Leased, Sequence: a.Sequence, Recall: recall[other]}, began)
	}
	if o.ledger.Committed() > o.quota {
		t.Fatalf("%d committed of %d", o.ledger.Committed(), o.quota)
	}
}

// TestBothExact: requests wait between what they hold of the key's quota and what they spend of the group's, while servers report,
// are leased more, give back and end. Neither quota is exceeded, and a request that one of them refuses costs the other nothing.
func TestBothExact(t *testing.T) { rapid.Check(t, bothExact) }

func bothExact(t *rapid.T) {
	const servers = 3
	owners := [2]*owner{}
	for i := range owners {
		owners[i] = &owner{
			quota: rapid.Uint64Range(0, 60).Draw(t, "quota"), months: map[string]*month{}, peers: map[string]quotaledger.Peer{},
		}
		for s := range servers {
			owners[i].months[strconv.Itoa(s)] = newMonth("tenants/acme", "", quotaledger.PeriodFrom(began))
		}
	}
	key, group := owners[0], owners[1]
	type waiting struct {
		server string
		cost   uint64
	}
	var held []waiting
	admitted, forfeited := uint64(0), uint64(0)
	closed := map[string]bool{}
	pick := func(t *rapid.T) string { return strconv.Itoa(rapid.IntRange(0, servers-1).Draw(t, "server")) }
	finish := func(w waiting) {
		if spent, _ := group.months[w.server].take(int64(w.cost)); spent {
			key.months[w.server].spendHeld(w.cost)
			admitted += w.cost
			return
		}
		key.months[w.server].cancel(w.cost)
		if closed[w.server] {
			forfeited += w.cost
		}
	}
	round := func(t *rapid.T, server string) {
		for _, o := range owners {
			o.months[server].wantsMore(1, began)
			o.round(t, server, closed[server])
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"arrive": func(t *rapid.T) {
			w := waiting{pick(t), rapid.Uint64Range(0, 5).Draw(t, "cost")}
			if ok, _ := key.months[w.server].hold(w.cost); ok {
				held = append(held, w)
			}
		},
		"finish": func(t *rapid.T) {
			if len(held) > 0 {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "request")
				finish(held[i])
				held = append(held[:i], held[i+1:]...)
			}
		},
		"round": func(t *rapid.T) { round(t, pick(t)) },
		"end": func(t *rapid.T) {
			if server := pick(t); rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
				closed[server] = true
				round(t, server)
			}
		},
		"": func(t *rapid.T) {
			if admitted > key.quota || admitted > group.quota {
				t.Fatalf("%d admitted of %d and %d", admitted, key.quota, group.quota)
			}
		},
	})
	for _, w := range held {
		finish(w)
	}
	for s := range servers {
		round(t, strconv.Itoa(s))
	}
	if spent := group.ledger.Total().Spent; spent != admitted {
		t.Fatalf("%d of the group's spent, %d admitted", spent, admitted)
	}
	if spent := key.ledger.Total().Spent; spent != admitted+forfeited {
		t.Fatalf("%d of the key's spent, %d admitted and %d were held at an end", spent, admitted, forfeited)
	}
}
