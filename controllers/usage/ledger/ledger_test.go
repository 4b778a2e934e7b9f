package ledger_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/controllers/usage/ledger"
)

// TestFold: what is forgotten of closed accounts stays in every sum.
func TestFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counter := rapid.Uint64Range(0, 1000)
		l := &ledger.Ledger{Accounts: rapid.MapOf(rapid.StringN(1, 3, 3), rapid.Custom(func(t *rapid.T) ledger.Account {
			a := ledger.Account{Spent: counter.Draw(t, "spent"), Unconfirmed: counter.Draw(t, "unconfirmed"), Bytes: counter.Draw(t, "bytes"), Closed: rapid.Bool().Draw(t, "closed")}
			a.Requests = a.Spent + a.Unconfirmed + counter.Draw(t, "free")
			a.Leased = a.Spent + counter.Draw(t, "unspent")
			return a
		})).Draw(t, "accounts")}
		total, committed := l.Total(), l.Committed()
		l.Fold(func(server string) bool { return server < "m" })
		if l.Total() != total || l.Committed() != committed {
			t.Fatalf("%+v and %d, before %+v and %d", l.Total(), l.Committed(), total, committed)
		}
		for server, a := range l.Accounts {
			if a.Closed && server >= "m" {
				t.Fatalf("%q is there", server)
			}
		}
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
		month, err := ledger.ParseMonth(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if month.Next().String() != c.next || month.Previous().String() != c.previous || month.End().Sub(month.Begin()) != time.Duration(c.days)*24*time.Hour {
			t.Errorf("%s: %s, %s, %s", month, month.Previous(), month.Next(), month.End().Sub(month.Begin()))
		}
		east := time.FixedZone("", 14*3600)
		if ledger.MonthOf(month.End().Add(-1).In(east)) != month || ledger.MonthOf(month.Begin().In(east)) != month || ledger.MonthOf(month.End()) == month {
			t.Errorf("%s: its ends are not in it", month)
		}
	}
	for _, text := range []string{"", "2026", "2026-13", "2026-1", "2026-00", "2026-11-01", "-001-01"} {
		if month, err := ledger.ParseMonth(text); err == nil {
			t.Errorf("%q is %s", text, month)
		}
	}
}
