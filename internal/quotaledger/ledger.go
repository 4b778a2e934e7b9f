// Package quotaledger keeps the accounts of one group in one month: what each life of a
// validation server may let through, and what it has. It is pure. See
// docs/design/0009-quotas.md for why the quota holds whatever is lost, sent twice or crashes.
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

// Account is that of one life of a server. Its counters are cumulative.
type Account struct {
	// Leased is how many requests that need an allowance it may let through in all, by the
	// allowance with this Sequence.
	Leased, Sequence uint64
	// Requests that it let through; Spent of them by allowance, Unconfirmed although there
	// was none, and the others when they needed none.
	Requests, Spent, Unconfirmed uint64
	// Bytes of response bodies.
	Bytes uint64
	// Closed says that the life is over: nothing more will be spent.
	Closed bool
}

// unspent is what it may still let through, for all that is known.
func (a Account) unspent() uint64 {
	if a.Closed || a.Leased < a.Spent {
		return 0
	}
	return a.Leased - a.Spent
}

// committed is what it takes from the quota: what it has spent or may spend, and what needed
// no allowance then, such as before there was a quota.
func (a Account) committed() uint64 { return a.Requests - a.Unconfirmed + a.unspent() }

// Ledger is the accounts, by server. Its zero value is empty.
type Ledger struct {
	Accounts map[string]Account
	// Folded is the sum of closed accounts that have been forgotten.
	Folded Account
}

// Clone returns a copy.
func (l *Ledger) Clone() *Ledger { return &Ledger{Accounts: maps.Clone(l.Accounts), Folded: l.Folded} }

// Equal is whether two ledgers say the same.
func (l *Ledger) Equal(other *Ledger) bool {
	return l.Folded == other.Folded && maps.Equal(l.Accounts, other.Accounts)
}

// Total sums up the accounts.
func (l *Ledger) Total() Account {
	total := l.Folded
	for _, a := range l.Accounts {
		total = total.plus(a)
	}
	return total
}

func (a Account) plus(b Account) Account {
	a.Leased += b.Spent + b.unspent()
	a.Requests += b.Requests
	a.Spent += b.Spent
	a.Unconfirmed += b.Unconfirmed
	a.Bytes += b.Bytes
	return a
}

// Committed is how much of the quota is spent or may be.
func (l *Ledger) Committed() uint64 {
	sum := l.Folded.Requests - l.Folded.Unconfirmed
	for _, a := range l.Accounts {
		sum += a.committed()
	}
	return sum
}

// Report takes note of what a server says of its account. To hear the same again changes
// nothing. It lowers Leased where the server has given back, but only if it had the latest
// allowance then: one on its way would still count.
func (l *Ledger) Report(server string, said Account) error {
	was := l.Accounts[server]
	if err := check(was, said); err != nil {
		return err
	}
	now := said
	if was.Closed {
		now.Closed = true
	}
	switch {
	case now.Closed:
		now.Leased, now.Sequence = said.Spent, max(was.Sequence, said.Sequence)
	case said.Sequence < was.Sequence:
		now.Leased, now.Sequence = was.Leased, was.Sequence
	case said.Sequence > was.Sequence:
		// What was persisted is older than what the server got: a backup was restored. What
		// it holds, it may have spent.
		now.Leased = max(was.Leased, said.Leased)
	}
	l.put(server, now)
	return nil
}

func (l *Ledger) put(server string, a Account) {
	if a == (Account{}) {
		return
	}
	if l.Accounts == nil {
		l.Accounts = map[string]Account{}
	}
	l.Accounts[server] = a
}

func check(was, said Account) error {
	for _, counter := range []struct {
		name      string
		was, said uint64
	}{
		{"requests", was.Requests, said.Requests},
		{"spent", was.Spent, said.Spent},
		{"unconfirmed requests", was.Unconfirmed, said.Unconfirmed},
		{"bytes", was.Bytes, said.Bytes},
		{"leased", 0, said.Leased},
		{"sequence", 0, said.Sequence},
	} {
		switch {
		case counter.said > Max:
			return fmt.Errorf("%s is %d: %w", counter.name, counter.said, ErrOverflow)
		case counter.said < counter.was:
			return fmt.Errorf("%s is %d, after %d: %w", counter.name, counter.said, counter.was, ErrDecreasing)
		}
	}
	switch {
	case said.Spent+said.Unconfirmed > said.Requests:
		return fmt.Errorf("%d spent and %d unconfirmed of %d requests: %w", said.Spent, said.Unconfirmed, said.Requests, ErrSum)
	case said.Spent > said.Leased:
		return fmt.Errorf("%d spent of an allowance of %d: %w", said.Spent, said.Leased, ErrSum)
	case said.Sequence <= was.Sequence && said.Leased > was.Leased && !was.Closed:
		return fmt.Errorf("%d leased by allowance %d, but allowance %d was for %d: %w", said.Leased, said.Sequence, was.Sequence, was.Leased, ErrAllowance)
	}
	return nil
}

// Fold forgets closed accounts that are not to be kept, and keeps their sum.
func (l *Ledger) Fold(keep func(server string) bool) {
	for server, a := range l.Accounts {
		if a.Closed && !keep(server) {
			l.Folded = l.Folded.plus(a)
			delete(l.Accounts, server)
		}
	}
}
