package accounts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// maxLife bounds the name of a life.
	maxIncarnation = 26
	// maxRefusals is how many refusals wait for one server to take them; of more it is not told.
	maxRefusals = 10_000
	// Bounds of what is repeated of a report that is wrong.
	maxGroup, maxPeriod = 317, 16
	// maxNamed is how much of an instance is in the name of its accounts, which has to fit into a status.
	maxNamed = 240
)

// NameOf names a server's accounts: an instance may be the name of several servers, a name here is that of one. The
// identity is not in it as it is, for names are as long as a status takes.
func NameOf(instance, identity string) string {
	sum := sha256.Sum256([]byte(identity + "\x00" + instance))
	return instance[:min(len(instance), maxNamed)] + "@" + hex.EncodeToString(sum[:6])
}

// before is the name that a server's account had before names were bound to identities.
func nameWithoutIdentity(account string) string {
	at, slash := strings.LastIndexByte(account, '@'), strings.LastIndexByte(account, '/')
	if at < 0 || slash < at {
		return account
	}
	return account[:at] + account[slash:]
}

// adopt gives an account the name that it has by now.
func adopt(work *quotaledger.Ledger, account string) {
	earlier := nameWithoutIdentity(account)
	known, ok := work.Accounts[earlier]
	if _, has := work.Accounts[account]; !ok || has || earlier == account {
		return
	}
	delete(work.Accounts, earlier)
	work.Accounts[account] = known
}

// Session is the stream of one server.
type Session struct {
	aggregator *Aggregator
	instance   string
	serves     func(group string) (serves, known bool)
	outbox     outbox

	server string // the account's; "" before the first report
}

// Connect notes a server and, as far as that is known, which groups it may serve. It is to be
// closed.
func (a *Aggregator) Connect(instance string, serves func(group string) (serves, known bool)) *Session {
	s := &Session{aggregator: a, instance: instance, serves: serves, outbox: newOutbox()}
	s.outbox.signal() // it learns what time it is
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions[s] = struct{}{}
	return s
}

// Close forgets the session. Unless the server said goodbye, it is waited for a while.
func (s *Session) Close() {
	a := s.aggregator
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, s)
	if s.server != "" && a.servers[s.server] == s {
		delete(a.servers, s.server)
		a.disconnected[s.server] = a.config.Clock.Now()
	}
}

// Ready receives when there is something to send.
func (s *Session) Ready() <-chan struct{} { return s.outbox.ready }

// Take returns what is to be sent.
func (s *Session) Take() *syncv1.Allowances {
	return s.outbox.take(s.aggregator.config.Clock.Now().UnixMilli())
}

// Report takes in what the server reports. It does not wait: what is right is persisted soon,
// and then told. What is not is refused, each account by itself; the error is for what ends
// the stream.
func (s *Session) Report(uses *syncv1.Uses) error {
	incarnation := uses.GetIncarnation()
	if incarnation == "" {
		return nil // of a release that does not count
	}
	if len(incarnation) > maxIncarnation || strings.ContainsFunc(incarnation, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return status.Errorf(codes.InvalidArgument, "life: give a text of 1 to %d letters and digits", maxIncarnation)
	}
	a := s.aggregator
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.server == "" {
		s.server = s.instance + "/" + incarnation
		a.servers[s.server] = s
		delete(a.disconnected, s.server)
	}
	switch {
	case s.server != s.instance+"/"+incarnation:
		return status.Error(codes.InvalidArgument, "life: it is another than before on this stream")
	case a.servers[s.server] != s:
		return nil // it has connected again: what comes late is older than what it says there
	}
	for _, use := range uses.GetGroups() {
		if err := s.take(use); err != nil {
			s.refuse(use.GetGroup(), use.GetPeriod(), err)
		}
	}
	return nil
}

// take notes the report of one account. The caller holds the aggregator's lock.
func (s *Session) take(use *syncv1.GroupUse) error {
	a := s.aggregator
	month, err := quotaledger.ParseMonth(use.GetPeriod())
	if err != nil {
		return err
	}
	now := quotaledger.MonthOf(a.config.Clock.Now())
	if month != now && month != now.Previous() {
		return fmt.Errorf("the month %s is neither this nor the last, by the manager's clock: set the server's", month)
	}
	serves, known := s.serves(use.GetGroup())
	switch {
	case !known:
		return nil // it is being asked, and the server says it again
	case !serves:
		return fmt.Errorf("the server may not serve the group")
	}
	c := a.counters(store.Key{Group: use.GetGroup(), Month: month})
	a.asked++
	c.reports[s.server] = &report{
		fresh: true, wants: use.GetWants(), asked: a.asked,
		account: quotaledger.Account{
			Leased: use.GetLeased(), Sequence: use.GetSequence(), Requests: use.GetRequests(), Spent: use.GetSpent(),
			Unconfirmed: use.GetUnconfirmedRequests(), Bytes: use.GetBytes(), Closed: use.GetClosed(),
		},
	}
	// Who gives back does it for somebody who waits.
	a.enqueue(c, use.GetWants() > 0 || use.GetClosed() || c.waiting)
	return nil
}

func (s *Session) refuse(group, period string, err error) {
	refused.Inc()
	if a := s.aggregator; a.refusals.AllowN(a.config.Clock.Now(), 1) { // whoever is wrong may be it very often
		a.config.Log.Info("Refused a report of usage", "server", s.server, "group", group, "period", period, "reason", err.Error())
	}
	month, parseErr := quotaledger.ParseMonth(period)
	if parseErr != nil {
		month = quotaledger.Month{}
	}
	if len(group) > maxGroup || len(period) > maxPeriod || s.outbox.isFull() {
		return
	}
	s.outbox.put(store.Key{Group: group, Month: month}, &syncv1.Allowance{Group: group, Period: period, Refused: err.Error()})
}
