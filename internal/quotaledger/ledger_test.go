package quotaledger_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestFold: closed accounts that are removed stay in every sum.
func TestFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counter := rapid.Uint64Range(0, 1000)
		l := &quotaledger.Ledger{Servers: rapid.MapOf(rapid.StringN(1, 3, 3), rapid.Custom(func(t *rapid.T) quotaledger.Counters {
			a := quotaledger.Counters{Spent: counter.Draw(t, "spent"), Unconfirmed: counter.Draw(t, "unconfirmed"),
				Bytes: counter.Draw(t, "bytes"), Closed: rapid.Bool().Draw(t, "closed")}
			a.Requests = a.Spent + a.Unconfirmed + counter.Draw(t, "free")
			a.Leased = a.Spent + counter.Draw(t, "unspent")
			return a
		})).Draw(t, "accounts")}
		total, committed := l.Total(), l.Committed()
		l.Fold(func(server string) bool { return server < "m" })
		if l.Total() != total || l.Committed() != committed {
			t.Fatalf("%+v and %d, before %+v and %d", l.Total(), l.Committed(), total, committed)
		}
		for server, a := range l.Servers {
			if a.Closed && server >= "m" {
				t.Fatalf("%q is there", server)
			}
		}
	})
}

// holder is a server from the point of view of the ledger, with the messages that are on their way between them.
type holder struct {
	leased, sequence, spent uint64
	up                      []quotaledger.Counters // reports
	down                    []quotaledger.Counters // allowances
}

// mayHold returns how many requests it may allow in total, after the messages on their way to it have arrived.
func (h *holder) mayHold() uint64 {
	most := h.leased
	for _, a := range h.down {
		if a.Sequence > h.sequence {
			most = max(most, a.Leased)
		}
	}
	return most
}

// TestCommitted: in any order in which reports and allowances arrive, late, or more than once,
// everything that servers have or are about to receive is committed, and that is never more than the quota.
func TestCommitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, quota := &quotaledger.Ledger{}, rapid.Uint64Range(0, 200).Draw(t, "quota")
		holders := map[string]*holder{"a": {}, "b": {}}
		pick := func(t *rapid.T) (string, *holder) {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "server")
			return name, holders[name]
		}
		t.Repeat(map[string]func(*rapid.T){
			"spend": func(t *rapid.T) {
				_, h := pick(t)
				h.spent += rapid.Uint64Range(0, h.leased-h.spent).Draw(t, "n")
			},
			"report": func(t *rapid.T) {
				_, h := pick(t)
				if rapid.Bool().Draw(t, "gives back") {
					h.leased = h.spent
				}
				h.up = append(h.up, quotaledger.Counters{Leased: h.leased, Sequence: h.sequence, Spent: h.spent, Requests: h.spent})
			},
			"receive": func(t *rapid.T) {
				name, h := pick(t)
				if len(h.up) == 0 {
					return
				}
				reported := rapid.SampledFrom(h.up).Draw(t, "report") // it may arrive again
				if l.Report(name, reported) != nil {
					return
				}
				peer := quotaledger.Peer{Presence: quotaledger.Connected, Sequence: reported.Sequence,
					Wants: rapid.Uint64Range(0, 20).Draw(t, "wants"), Needs: rapid.Uint64Range(0, 30).Draw(t, "needs")}
				for _, raised := range l.Allow(quota, map[string]quotaledger.Peer{name: peer}).Raised {
					holders[raised].down = append(holders[raised].down, l.Servers[raised])
				}
			},
			"take": func(t *rapid.T) {
				_, h := pick(t)
				if len(h.down) == 0 {
					return
				}
				if a := rapid.SampledFrom(h.down).Draw(t, "allowance"); a.Sequence > h.sequence {
					h.leased, h.sequence = max(h.leased, a.Leased), a.Sequence
				}
			},
			"": func(t *rapid.T) {
				for name, h := range holders {
					if a := l.Servers[name]; h.mayHold() > max(a.Leased, a.Spent) {
						t.Fatalf("%s may hold %d by %+v", name, h.mayHold(), a)
					}
				}
				if l.Committed() > quota {
					t.Fatalf("%d committed of %d", l.Committed(), quota)
				}
			},
		})
	})
}

// TestMonth: months of all lengths, by their first and last instants in UTC.
func TestMonth(t *testing.T) {
	for _, c := range []struct {
		text, next, previous string
		days                 int
	}{
		{"2026-02", "2026-03", "2026-01", 28},
		{"2028-02", "2028-03", "2028-01", 29},
		{"2100-02", "2100-03", "2100-01", 28},
		{"2026-04", "2026-05", "2026-03", 30},
		{"2026-12", "2027-01", "2026-11", 31},
	} {
		month, err := quotaledger.ParseMonth(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if month.Next().String() != c.next || month.Previous().String() != c.previous ||
			month.End().Sub(month.Begin()) != time.Duration(c.days)*24*time.Hour {
			t.Errorf("%s: %s, %s, %s", month, month.Previous(), month.Next(), month.End().Sub(month.Begin()))
		}
		east := time.FixedZone("", 14*3600)
		if quotaledger.MonthOf(month.End().Add(-1).In(east)) != month ||
			quotaledger.MonthOf(month.Begin().In(east)) != month || quotaledger.MonthOf(month.End()) == month {
			t.Errorf("%s: its ends are not in it", month)
		}
	}
	for _, text := range []string{"", "2026", "2026-13", "2026-1", "2026-00", "2026-11-01", "-001-01"} {
		if month, err := quotaledger.ParseMonth(text); err == nil {
			t.Errorf("%q is %s", text, month)
		}
	}
}
