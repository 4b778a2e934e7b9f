package quota

import (
	"fmt"
	"strings"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// maxRefusals is how many refusals wait for one server; further ones are not sent.
	maxRefusals = 10_000
	// Bounds of the texts of a wrong report that are sent back.
	maxGroup, maxKey, maxPeriod = 317, 255, 16
)

// nameWithoutIdentity returns the name that an account had before names were bound to identities.
func nameWithoutIdentity(name string) string {
	at, slash := strings.LastIndexByte(name, '@'), strings.LastIndexByte(name, '/')
	if at < 0 || slash < at {
		return name
	}
	return name[:at] + name[slash:]
}

// adopt renames an account of that time.
func adopt(work *quotaledger.Ledger, name string) {
	earlier := nameWithoutIdentity(name)
	known, ok := work.Servers[earlier]
	if _, has := work.Servers[name]; !ok || has || earlier == name {
		return
	}
	delete(work.Servers, earlier)
	work.Servers[name] = known
}

// Session is the stream of one server.
//
// Its fields do not change. The session reports for its account as long as servers has it there: after the server has reconnected,
// an older session of it reports no more.
type Session struct {
	aggregator *Aggregator
	session    *session.Session
	server     string // the name of the account, which is that of the run
	outbox     outbox
}

// Connect begins to account for a run of a server of the Aggregator's Sessions. The caller closes the Session after that.
func (a *Aggregator) Connect(of *session.Session) *Session {
	s := &Session{aggregator: a, session: of, server: of.Name(), outbox: newOutbox()}
	s.outbox.signal() // it is sent the time
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions[s] = struct{}{}
	a.servers[s.server] = s
	delete(a.runs, s.server)
	return s
}

// Close forgets the session. Unless the server has closed its accounts, the Aggregator waits for Grace for it to reconnect.
func (s *Session) Close() {
	a := s.aggregator
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, s)
	if a.servers[s.server] == s {
		delete(a.servers, s.server)
		a.runs[s.server] = s.session.Run
	}
}

// Ready receives when there is something to send.
func (s *Session) Ready() <-chan struct{} { return s.outbox.ready }

// Take returns the next message to send.
func (s *Session) Take() *syncv1.Allowances {
	return s.outbox.take(s.aggregator.config.Clock.Now().UnixMilli())
}

// Report accepts what the server reports. It does not block: reports that are right are persisted soon, and acknowledged
// then. Each report that is wrong is refused, and only that.
func (s *Session) Report(report *syncv1.QuotaReport) {
	a := s.aggregator
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.servers[s.server] != s {
		return // it has reconnected: this report is older than those on its new stream
	}
	for _, use := range report.GetGroups() {
		if err := s.take(use); err != nil {
			s.refuse(owner{use.GetGroup(), use.GetKey()}, use.GetPeriod(), err)
		}
	}
}

// take records the report of one account. The caller holds the Aggregator's lock.
func (s *Session) take(use *syncv1.GroupUse) error {
	a := s.aggregator
	period, err := quotaledger.ParsePeriod(use.GetPeriod())
	if err != nil {
		return err
	}
	now := a.config.Clock.Now()
	ledger := store.Key{Group: use.GetGroup(), Owner: use.GetKey(), Period: period}
	limits, limitsKnown := a.limitsOf(ledger)
	// While the limits are not known, the report waits, and what is no period of the group is refused later.
	if age := now.Sub(period.Begin()); limitsKnown && !limits.Schedule.Accepts(period, now) || age < 0 || age > 2*quotaledger.MaxPeriod {
		return fmt.Errorf("the period %s is neither the running one nor the last by the manager's clock: correct the server's clock", period)
	}
	serves, known := s.session.Serves(use.GetGroup())
	switch {
	case !known:
		return nil // rights are being asked for; the server reports it again
	case !serves:
		return fmt.Errorf("the server may not serve the group")
	case use.GetKey() != "" && use.GetBytes() > 0:
		return errKeyBytes
	case a.isGone(ledger):
		return errNoKey
	case use.GetKey() != "" && !limitsKnown:
		return nil // keys or groups are being read; the server reports it again
	}
	c := a.counters(ledger)
	a.asked++
	c.reports[s.server] = &report{
		fresh: true, wants: use.GetWants(), needs: use.GetNeeds(), asked: a.asked,
		counts: quotaledger.Counters{
			Leased: use.GetLeased(), Sequence: use.GetSequence(), Requests: use.GetRequests(), Spent: use.GetSpent(),
			Unconfirmed: use.GetUnconfirmedRequests(), Bytes: use.GetBytes(), Closed: use.GetClosed(),
		},
	}
	// A lease is returned because another server waits for it.
	a.enqueue(c, use.GetWants() > 0 || use.GetClosed() || c.waiting)
	return nil
}

func (s *Session) refuse(of owner, period string, err error) {
	refused.Inc()
	if a := s.aggregator; a.refusals.AllowN(a.config.Clock.Now(), 1) { // a wrong report may be repeated very often
		a.config.Log.Info("Refused a report of usage", "server", s.server, "group", of.group, "key", of.key, "period", period, "reason", err.Error())
	}
	named, parseErr := quotaledger.ParsePeriod(period)
	if parseErr != nil {
		named = quotaledger.Period{}
	}
	if len(of.group) > maxGroup || len(of.key) > maxKey || len(period) > maxPeriod || s.outbox.isFull() {
		return
	}
	s.outbox.put(of.ledger(named), &syncv1.Allowance{Group: of.group, Key: of.key, Period: period, Refused: err.Error()})
}
