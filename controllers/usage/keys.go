package usage

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// Bounds of the texts in a report about a key.
	maxKeyID, maxGroup = 64, 317
	// maxKeys is the number of keys whose requests are counted, and maxCounts the number of counts, one per key and
	// server.
	maxKeys, maxCounts = 200_000, 2_000_000
	// keysPerMessage is how many counts one message acknowledges.
	keysPerMessage = 5000
	// maxPendingReports is how many counts may wait on one stream for their acknowledgement to be sent.
	maxPendingReports = 4 * keysPerMessage
	// maxAttempts is how many writes are kept of which it is not known whether they succeeded.
	maxAttempts = 8
)

// KeyName names a key and its group, namespace/name, as a server reports them. A server may not report a key under a group
// that it does not belong to.
type KeyName struct{ Group, ID string }

// Keys adds up the requests of keys in a month until they are written into status. The numbers are for people; quotas are
// counted in package quota.
//
// Servers report cumulative counts, each with the part of it that they know to be persisted. Keys has, by the incarnation
// of a server, how much of each count was added up, so that a count that is sent again, on any stream, is not added again.
// A count that is new begins at its persisted part, so that a new leader adds what the last one had not written. See
// docs/design/0011-key-usage.md for what a crash may lose or count twice.
//
// mu guards keys, incarnations, and began, closed and pendingReports of KeyReporters. The functions of a session are called under
// it, and take the Hub's lock; nothing that holds the Hub's lock calls Keys. While mu is not held:
//   - counts is the number of entries in the counts of all incarnations;
//   - the reporter of an incarnation is the one of its latest stream that has reported, and no other reports for it. Whether the
//     incarnation is connected still, or may come back, its session knows; what is forgotten there is dropped here;
//   - of a count, written <= taken;
//   - pending of a key is what was added up of its month and is not written. A write under way takes nothing off it before
//     it is known to have succeeded, so that what is added in the meantime is kept.
type Keys struct {
	clock    clock.PassiveClock
	sessions *session.Registry

	mu           sync.Mutex
	keys         map[KeyName]*keyUse
	incarnations map[session.Run]*incarnation
	counts       int
}

// keyUse has the requests of one key that are not written yet.
type keyUse struct {
	month   quotaledger.Month
	pending uint64
	written time.Time
	due     bool
	// attempts has the writes of which it is not known whether they succeeded.
	attempts []*Count
}

// incarnation is one run of a server.
type incarnation struct {
	counts   map[KeyName]*counted
	reporter *KeyReporter // nil while it is disconnected
}

// counted is how much of a count was added up, and how much of that is written.
type counted struct {
	month          quotaledger.Month
	taken, written uint64
}

func newKeys(clk clock.PassiveClock, sessions *session.Registry) *Keys {
	return &Keys{clock: clk, sessions: sessions, keys: map[KeyName]*keyUse{}, incarnations: map[session.Run]*incarnation{}}
}

// KeyReporter is the stream of one server.
type KeyReporter struct {
	keys      *Keys
	session   *session.Session
	servesKey func(group, id string) bool
	ready     chan struct{} // one slot: pendingReports may have something

	began, closed  bool // it has reported, and its stream is over
	pendingReports map[KeyName]*syncv1.KeyUse
}

// Connect begins to count what a server of the Tracker's Sessions reports. The caller closes the KeyReporter after the session.
// servesKey reports whether the key belongs to the group, and the server may have the group.
func (k *Keys) Connect(s *session.Session, servesKey func(group, id string) bool) *KeyReporter {
	return &KeyReporter{
		keys: k, session: s, servesKey: servesKey, ready: make(chan struct{}, 1), pendingReports: map[KeyName]*syncv1.KeyUse{},
	}
}

// Close ends the stream. What is known of a server that said goodbye is dropped: it does not report again.
func (r *KeyReporter) Close() {
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	r.closed = true
	inc := k.incarnations[r.session.Run]
	if inc == nil || inc.reporter != r {
		return
	}
	inc.reporter = nil
	k.dropForgotten(r.session.Identity)
}

// dropForgotten drops the incarnations, of one identity or of all, that do not report again. The caller holds the lock.
func (k *Keys) dropForgotten(identity string) {
	for run, inc := range k.incarnations {
		if inc.reporter != nil || identity != "" && run.Identity != identity {
			continue
		}
		if _, mayReturn := k.sessions.Disconnected(run); !mayReturn && !k.sessions.IsConnected(run) {
			k.drop(run)
		}
	}
}

// drop forgets an incarnation; what was added up of its counts stays. The caller holds the lock.
func (k *Keys) drop(name session.Run) {
	k.counts -= len(k.incarnations[name].counts)
	delete(k.incarnations, name)
}

// Report adds up what the server reports. Each count that is wrong is left out, and only that.
func (r *KeyReporter) Report(report *syncv1.KeyReport) {
	if len(report.GetKeys()) == 0 {
		return
	}
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.closed {
		return // it arrives late; the server reports it again
	}
	if !r.began {
		r.began = true
		inc := k.incarnations[r.session.Run]
		if inc == nil {
			inc = &incarnation{counts: map[KeyName]*counted{}}
			k.incarnations[r.session.Run] = inc
		}
		inc.reporter = r
	}
	inc := k.incarnations[r.session.Run]
	if inc == nil || inc.reporter != r {
		return // it has reconnected, and reports on its new stream
	}
	for _, use := range report.GetKeys() {
		if !r.take(inc, use) {
			keysRefused.Inc()
		}
	}
}

// take adds up one count, and reports whether the count was right. The caller holds the lock.
func (r *KeyReporter) take(inc *incarnation, use *syncv1.KeyUse) bool {
	k, name := r.keys, KeyName{Group: use.GetGroup(), ID: use.GetKey()}
	month, err := quotaledger.ParseMonth(use.GetPeriod())
	now := quotaledger.MonthOf(k.clock.Now())
	if err != nil || month != now && month != now.Previous() ||
		use.GetRequests() > quotaledger.Max || use.GetRecorded() > use.GetRequests() ||
		len(name.ID) == 0 || len(name.ID) > maxKeyID || len(name.Group) > maxGroup {
		return false
	}
	if serves, known := r.session.Serves(name.Group); !serves {
		return !known // rights are being asked for; the server reports the count again
	}
	if k.keys[name] == nil && !r.servesKey(name.Group, name.ID) {
		r.report(name, month, use.GetRequests()) // the key does not exist: the server need not report it again
		return true
	}
	is := k.keys[name]
	t := inc.counts[name]
	switch {
	case is == nil && len(k.keys) >= maxKeys, t == nil && k.counts >= maxCounts:
		return false
	case is == nil:
		is = &keyUse{month: month}
		k.keys[name] = is
	case is.month.Begin().Before(month.Begin()):
		is.month, is.pending, is.attempts = month, 0, nil // status shows this month
	}
	switch {
	case t == nil:
		t = &counted{month: month, taken: use.GetRecorded(), written: use.GetRecorded()}
		inc.counts[name] = t
		k.counts++
	case t.month.Begin().After(month.Begin()):
		r.report(name, month, use.GetRequests())
		return true
	case t.month != month:
		*t = counted{month: month, taken: use.GetRecorded(), written: use.GetRecorded()}
	}
	if month != is.month { // the month before is not shown any more
		r.report(name, month, use.GetRequests())
		return true
	}
	if use.GetRequests() > t.taken {
		is.pending += use.GetRequests() - t.taken
		t.taken = use.GetRequests()
	}
	if use.GetRecorded() < t.written {
		r.report(name, month, t.written)
	}
	return true
}

// report has the persisted part of a count sent to the server. The caller holds the lock.
func (r *KeyReporter) report(name KeyName, month quotaledger.Month, recorded uint64) {
	if r.pendingReports[name] == nil && len(r.pendingReports) >= maxPendingReports {
		return // the server does not read; it reports again what was not acknowledged
	}
	r.pendingReports[name] = &syncv1.KeyUse{Key: name.ID, Group: name.Group, Period: month.String(), Recorded: recorded}
	r.signal()
}

func (r *KeyReporter) signal() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// Ready receives when there is something to send.
func (r *KeyReporter) Ready() <-chan struct{} { return r.ready }

// Take returns the next message to send.
func (r *KeyReporter) Take() *syncv1.KeysRecorded {
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	message := &syncv1.KeysRecorded{NowMs: k.clock.Now().UnixMilli()}
	for _, name := range slices.Collect(maps.Keys(r.pendingReports)) {
		if len(message.GetKeys()) == keysPerMessage {
			r.signal()
			break
		}
		message.Keys = append(message.Keys, r.pendingReports[name])
		delete(r.pendingReports, name)
	}
	return message
}
