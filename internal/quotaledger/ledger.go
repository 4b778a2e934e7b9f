// Package quotaledger keeps the accounts of one group in one month: how many requests each incarnation of a
// validation server may allow, and how many it has allowed. It is pure. See
// docs/design/0009-quotas.md for why the quota is kept when messages are lost or sent twice, and when processes crash.
package quotaledger

import (
	"errors"
	"fmt"
	"maps"
)

// Max is the highest value of a counter, so that no sum of accounts overflows.
const Max = 1 << 52

// Why a report is refused. A refused report changes nothing.
var (
	ErrOverflow   = errors.New("a counter is out of range")
	ErrDecreasing = errors.New("a counter is less than what was reported before")
	ErrAllowance  = errors.New("the allowance is not the one that was given")
	ErrSum        = errors.New("the counters contradict each other")
)

// Counters are those of one incarnation of a server. They are cumulative.
type Counters struct {
	// Leased is how many requests that need an allowance the server may allow in total, by the
	// allowance with this Sequence.
	Leased, Sequence uint64
	// Requests is how many requests it allowed. Of these, Spent used the allowance, Unconfirmed were allowed although
	// there was no allowance, and the others needed none.
	Requests, Spent, Unconfirmed uint64
	// Bytes is how many bytes of response bodies it sent.
	Bytes uint64
	// Closed means that the incarnation has ended: it spends nothing more.
	Closed bool
}

// unspent returns how many requests the server may still allow, as far as is known.
func (a Counters) unspent() uint64 {
	if a.Closed || a.Leased < a.Spent {
		return 0
	}
	return a.Leased - a.Spent
}

// committed returns how much of the quota the server takes: what it has spent or may spend, and requests that needed
// no allowance when they were allowed, such as before there was a quota.
func (a Counters) committed() uint64 { return a.Requests - a.Unconfirmed + a.unspent() }

// Ledger has the counters of servers. Its zero value is empty.
type Ledger struct {
	Servers map[string]Counters
	// Folded is the sum of closed counters that have been removed.
	Folded Counters
	// Unattributed is use of which only the sum is known, because the accounts were lost; see Recover.
	Unattributed Counters
}

// Clone returns a copy.
func (l *Ledger) Clone() *Ledger {
	return &Ledger{Servers: maps.Clone(l.Servers), Folded: l.Folded, Unattributed: l.Unattributed}
}

// Equal reports whether two ledgers have the same content.
func (l *Ledger) Equal(other *Ledger) bool {
	return l.Folded == other.Folded && l.Unattributed == other.Unattributed && maps.Equal(l.Servers, other.Servers)
}

// Total returns the sum of the accounts.
func (l *Ledger) Total() Counters {
	total := l.Folded.plus(l.Unattributed)
	for _, a := range l.Servers {
		total = total.plus(a)
	}
	return total
}

func (a Counters) plus(b Counters) Counters {
	a.Leased += b.Spent + b.unspent()
	a.Requests += b.Requests
	a.Spent += b.Spent
	a.Unconfirmed += b.Unconfirmed
	a.Bytes += b.Bytes
	return a
}

// Committed returns how much of the quota is spent or may be spent.
func (l *Ledger) Committed() uint64 {
	sum := l.Folded.committed() + l.Unattributed.committed()
	for _, a := range l.Servers {
		sum += a.committed()
	}
	return sum
}

// Report records what a server reports about its account. To record the same report again changes
// nothing. It lowers Leased where the server has returned a part of it, but only if the server had the latest
// allowance then: one that is on its way to the server would still count.
func (l *Ledger) Report(server string, reported Counters) error {
	was, known := l.Servers[server]
	if err := check(was, reported); err != nil {
		return err
	}
	if !known {
		l.attribute(reported)
	}
	now := reported
	if was.Closed {
		now.Closed = true
	}
	switch {
	case now.Closed:
		now.Leased, now.Sequence = reported.Spent, max(was.Sequence, reported.Sequence)
	case reported.Sequence < was.Sequence:
		now.Leased, now.Sequence = was.Leased, was.Sequence
	case reported.Sequence > was.Sequence:
		// What was persisted is older than what the server received: a backup was restored. The server
		// may have spent all that it has.
		now.Leased = max(was.Leased, reported.Leased)
	}
	l.put(server, now)
	return nil
}

func (l *Ledger) put(server string, a Counters) {
	if a == (Counters{}) {
		return
	}
	if l.Servers == nil {
		l.Servers = map[string]Counters{}
	}
	l.Servers[server] = a
}

func check(was, reported Counters) error {
	for _, counter := range []struct {
		name          string
		was, reported uint64
	}{
		{"requests", was.Requests, reported.Requests},
		{"spent", was.Spent, reported.Spent},
		{"unconfirmed requests", was.Unconfirmed, reported.Unconfirmed},
		{"bytes", was.Bytes, reported.Bytes},
		{"leased", 0, reported.Leased},
		{"sequence", 0, reported.Sequence},
	} {
		switch {
		case counter.reported > Max:
			return fmt.Errorf("%s is %d: %w", counter.name, counter.reported, ErrOverflow)
		case counter.reported < counter.was:
			return fmt.Errorf("%s is %d, after %d: %w", counter.name, counter.reported, counter.was, ErrDecreasing)
		}
	}
	switch {
	case reported.Spent+reported.Unconfirmed > reported.Requests:
		return fmt.Errorf("%d spent and %d unconfirmed of %d requests: %w", reported.Spent, reported.Unconfirmed, reported.Requests, ErrSum)
	case reported.Spent > reported.Leased:
		return fmt.Errorf("%d spent of an allowance of %d: %w", reported.Spent, reported.Leased, ErrSum)
	case reported.Sequence <= was.Sequence && reported.Leased > was.Leased && !was.Closed:
		return fmt.Errorf("%d leased by allowance %d, but allowance %d was for %d: %w", reported.Leased,
			reported.Sequence, was.Sequence, was.Leased, ErrAllowance)
	}
	return nil
}

// Fold removes closed accounts that are not to be kept, and keeps their sum.
func (l *Ledger) Fold(keep func(server string) bool) {
	for server, a := range l.Servers {
		if a.Closed && !keep(server) {
			l.Folded = l.Folded.plus(a)
			delete(l.Servers, server)
		}
	}
}
