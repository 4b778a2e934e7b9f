package store

import (
	"errors"
	"slices"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// The names of the entries that are not of a server: the sum of accounts that were closed and folded, and use whose accounts were
// lost. No name of a server is like that.
const folded, unattributed = "*", "?"

// ledgerIn returns the ledger of a period, or nil.
func ledgerIn(ledgers []v1alpha1.MonthLedger, period quotaledger.Period) *v1alpha1.MonthLedger {
	for i := range ledgers {
		if ledgers[i].Month == period.String() {
			return &ledgers[i]
		}
	}
	return nil
}

// keep puts a ledger into an object, which has room for two periods: the latest.
func keep(ledgers *[]v1alpha1.MonthLedger, period quotaledger.Period, l *quotaledger.Ledger) error {
	kept := ledgerIn(*ledgers, period)
	if kept == nil {
		all := append(*ledgers, v1alpha1.MonthLedger{Month: period.String()})
		slices.SortFunc(all, func(a, b v1alpha1.MonthLedger) int { return strings.Compare(b.Month, a.Month) })
		const most = 2
		*ledgers = all[:min(len(all), most)]
		if kept = ledgerIn(*ledgers, period); kept == nil {
			return errors.New("two later periods have begun, and there is no room for an earlier one")
		}
	}
	kept.Revision = ptr.To(ptr.Deref(kept.Revision, 0) + 1)
	kept.Entries = nil
	for server, counts := range l.Servers {
		kept.Entries = append(kept.Entries, entryOf(server, counts))
	}
	for name, counts := range map[string]quotaledger.Counters{folded: l.Folded, unattributed: l.Unattributed} {
		if counts != (quotaledger.Counters{}) {
			kept.Entries = append(kept.Entries, entryOf(name, counts))
		}
	}
	slices.SortFunc(kept.Entries, func(a, b v1alpha1.LedgerEntry) int { return strings.Compare(a.Server, b.Server) })
	return nil
}

func entryOf(server string, a quotaledger.Counters) v1alpha1.LedgerEntry {
	entry := v1alpha1.LedgerEntry{
		Server: server, Leased: counter(a.Leased), Sequence: counter(a.Sequence), Spent: counter(a.Spent),
		Requests: counter(a.Requests), Bytes: counter(a.Bytes), UnconfirmedRequests: counter(a.Unconfirmed),
	}
	if a.Closed {
		entry.Closed = ptr.To(true)
	}
	return entry
}

// counter returns nil for zero, which is left out.
func counter(n uint64) *int64 {
	if n == 0 {
		return nil
	}
	return ptr.To(int64(n))
}

func ledgerOf(kept *v1alpha1.MonthLedger) *quotaledger.Ledger {
	l := &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}
	for _, entry := range kept.Entries {
		counts := quotaledger.Counters{
			Leased: number(entry.Leased), Sequence: number(entry.Sequence), Spent: number(entry.Spent),
			Requests: number(entry.Requests), Bytes: number(entry.Bytes), Unconfirmed: number(entry.UnconfirmedRequests),
			Closed: ptr.Deref(entry.Closed, false),
		}
		switch entry.Server {
		case folded:
			l.Folded = counts
		case unattributed:
			l.Unattributed = counts
		default:
			l.Servers[entry.Server] = counts
		}
	}
	return l
}

func number(n *int64) uint64 { return uint64(max(0, ptr.Deref(n, 0))) }
