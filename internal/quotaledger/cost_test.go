package quotaledger_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestNeeds: if a server needs several at once, it receives them as soon as so many are not spent, however they are spread over
// servers and whoever else waits; and it learns at once if there are not so many. Each server returns what it is asked to return.
func TestNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quota := rapid.Uint64Range(0, 60).Draw(t, "quota")
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "servers")]
		l := &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}
		for _, name := range names {
			spent, held := rapid.Uint64Range(0, 10).Draw(t, "spent"), rapid.Uint64Range(0, 10).Draw(t, "held")
			if l.Committed()+spent+held > quota {
				continue
			}
			l.Servers[name] = quotaledger.Counters{Requests: spent, Spent: spent, Leased: spent + held, Sequence: 1}
		}
		needs := map[string]uint64{}
		for _, name := range names {
			needs[name] = rapid.Uint64Range(0, 20).Draw(t, "needs")
		}
		fits := quota - spentOf(l)
		for range 100 {
			peers := map[string]quotaledger.Peer{}
			for i, name := range names {
				a := l.Servers[name]
				peers[name] = quotaledger.Peer{Presence: quotaledger.Connected, Sequence: a.Sequence, Asked: uint64(i)}
				if held := a.Leased - a.Spent; needs[name] > held {
					peers[name] = quotaledger.Peer{Presence: quotaledger.Connected, Sequence: a.Sequence, Asked: uint64(i),
						Needs: needs[name], Wants: needs[name] - held}
				}
			}
			outcome := l.Allow(quota, peers)
			if l.Committed() > quota {
				t.Fatalf("%d committed of %d", l.Committed(), quota)
			}
			if outcome.Attainable != fits {
				t.Fatalf("%d of %d are left, and not %d", fits, quota, outcome.Attainable)
			}
			for _, name := range names {
				if short := slices.Contains(outcome.Short, name); short != (needs[name] > fits) {
					t.Fatalf("%s needs %d of %d: it is too much by the answer: %t", name, needs[name], fits, short)
				}
				if needs[name] > fits {
					needs[name] = 0 // the request is refused
				}
			}
			for _, name := range outcome.Recall {
				a := l.Servers[name]
				a.Leased = a.Spent
				if err := l.Report(name, a); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.ContainsFunc(names, func(name string) bool { a := l.Servers[name]; return needs[name] > a.Leased-a.Spent }) {
				return
			}
			for _, name := range names { // who has enough spends it, if somebody waits, and the others are asked again
				a := l.Servers[name]
				if need := needs[name]; need > 0 && a.Leased-a.Spent >= need {
					a.Spent, a.Requests = a.Spent+need, a.Requests+need
					if err := l.Report(name, a); err != nil {
						t.Fatal(err)
					}
					fits -= need
					needs[name] = 0
				}
			}
		}
		t.Fatalf("%v wait for ever, with %d of %d left: %+v", needs, fits, quota, l)
	})
}

func spentOf(l *quotaledger.Ledger) (spent uint64) {
	for _, a := range l.Servers {
		spent += a.Spent
	}
	return spent
}

// TestShortIsOfThoseWhoNeedMore: that an expensive request does not fit changes nothing for cheap ones.
func TestShortIsOfThoseWhoNeedMore(t *testing.T) {
	l := &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{"holder": {Leased: 3}}}
	outcome := l.Allow(4, map[string]quotaledger.Peer{
		"holder":    {Presence: quotaledger.Connected},
		"expensive": {Presence: quotaledger.Connected, Wants: 5, Needs: 5, Asked: 1},
		"cheap":     {Presence: quotaledger.Connected, Wants: 1, Asked: 2},
	})
	if !slices.Equal(outcome.Short, []string{"expensive"}) || outcome.Attainable != 4 || outcome.Exhausted {
		t.Errorf("%+v", outcome)
	}
	if !outcome.Waiting || !slices.Equal(outcome.Recall, []string{"holder"}) {
		t.Errorf("the cheap one does not wait for what another holds: %+v", outcome)
	}
}
