package quotaledger_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestRecover: a ledger that is lost is made again from its totals and the reports of the servers that still run. Neither what is
// used nor what may be leased changes by that, whoever has ended before.
func TestRecover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const quota = 1000
		lost := &quotaledger.Ledger{}
		counts := map[string]quotaledger.Counters{}
		servers := rapid.IntRange(1, 6).Draw(t, "servers")
		for i := range servers {
			spent := rapid.Uint64Range(0, 100).Draw(t, "spent")
			unconfirmed := rapid.Uint64Range(0, 10).Draw(t, "unconfirmed")
			c := quotaledger.Counters{
				Leased: spent + rapid.Uint64Range(0, 20).Draw(t, "unspent"), Sequence: 3, Spent: spent, Unconfirmed: unconfirmed,
				Requests: spent + unconfirmed, Bytes: 7 * spent,
			}
			name := fmt.Sprint("server", i)
			if i > 0 && rapid.Bool().Draw(t, "ended") {
				c.Closed, c.Leased = true, c.Spent
			}
			counts[name] = c
			if err := lost.Report(name, c); err != nil {
				t.Fatal(err)
			}
		}
		was := lost.Total()
		l := quotaledger.Recover(was.Requests, was.Unconfirmed, was.Bytes)
		if l.Committed() != was.Requests-was.Unconfirmed {
			t.Fatalf("%d committed of %+v", l.Committed(), was)
		}
		for name, c := range counts {
			if c.Closed {
				continue
			}
			for range 2 { // a report that is sent again changes nothing
				if err := l.Report(name, c); err != nil {
					t.Fatal(err)
				}
			}
		}
		is := l.Total()
		if is.Requests != was.Requests || is.Bytes != was.Bytes || l.Committed() != lost.Committed() {
			t.Fatalf("%d requests and %d bytes, %d committed; were %d and %d, %d", is.Requests, is.Bytes, l.Committed(),
				was.Requests, was.Bytes, lost.Committed())
		}
		l.Allow(quota, map[string]quotaledger.Peer{"server0": {Presence: quotaledger.Connected, Wants: 1 << 30, Sequence: 3}})
		if l.Committed() > quota {
			t.Fatalf("%d committed of %d", l.Committed(), quota)
		}
	})
}

// TestRecoverIsBounded: totals that no ledger can have do not overflow one.
func TestRecoverIsBounded(t *testing.T) {
	l := quotaledger.Recover(1<<63, 1<<63, 1<<63)
	if total := l.Total(); total.Requests > quotaledger.Max || total.Unconfirmed > total.Requests || total.Bytes > quotaledger.Max {
		t.Errorf("%+v", total)
	}
}
