package usage

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// Bounds of what a server reports of a key.
	maxIncarnation, maxKeyID, maxGroup = 26, 64, 317
	// maxKeys is of how many keys requests are counted, and maxCounts of how many keys of
	// all servers together.
	maxKeys, maxCounts = 200_000, 2_000_000
	// keysAtOnce is how many counts one message acknowledges.
	keysPerMessage = 5000
	// maxLives is how many lives of one identity are remembered whose server was lost, and maxTold how many counts
	// wait to be acknowledged on one stream.
	maxIncarnations, maxPendingReports = 4000, 4 * keysPerMessage
	// maxAttempts is how many writes are remembered that failed, or did not seem to succeed.
	maxAttempts = 8
)

// KeyName names a key, and the group namespace/name that it is of by what a server says: a key
// that is of another is not what the server may speak of.
type KeyName struct{ Group, ID string }

// Keys adds up the requests of keys in a month, until they are written into status. It is for
// people to see; what counts against a quota is in package accounts.
//
// Servers report cumulative counts, each with what they know to be persisted of it. Here is, by
// the life of a server, what has been taken of them, so that what is sent again, on whichever
// stream, is not counted again; and a count that was not seen before begins at what is persisted,
// so that a new leader takes what the last one had not written. See docs/design/0011-key-usage.md
// for what a crash may lose or count twice.
type Keys struct {
	clock clock.PassiveClock

	mu           sync.Mutex
	keys         map[KeyName]*keyUse
	incarnations map[incarnationName]*incarnation
	counts       int
}

// keyUse is what is known of one key, and not written yet.
type keyUse struct {
	month   quotaledger.Month
	pending uint64
	written time.Time
	due     bool
	// attempts are writes of which it is not known whether they succeeded.
	attempts []*Count
}

// lifeName is one run of a server: what it says itself, under the identity that it has proved.
type incarnationName struct{ instance, identity, incarnation string }

// life is one run of a server.
type incarnation struct {
	counts         map[KeyName]*counted
	reporter       *KeyReporter // nil while it is away
	disconnectedAt time.Time
}

// taken is how much of a count was added up, and how much of that is written.
type counted struct {
	month          quotaledger.Month
	taken, written uint64
}

func newKeys(clk clock.PassiveClock) *Keys {
	return &Keys{clock: clk, keys: map[KeyName]*keyUse{}, incarnations: map[incarnationName]*incarnation{}}
}

// KeyReporter is the stream of one server.
type KeyReporter struct {
	keys  *Keys
	peer  KeyPeer
	ready chan struct{} // one slot: there is something to tell

	name           incarnationName // its life is "" before the first report
	pendingReports map[KeyName]*syncv1.KeyUse
}

// KeyPeer is a validation server as it is here.
type KeyPeer struct {
	// Instance and Identity say which server it is: the same name of another identity is another.
	Instance, Identity string
	// Serves is whether it may speak of the group, as far as that is known.
	Serves func(group string) (serves, known bool)
	// ServesKey is whether the key is one of the group, and the server may have that.
	ServesKey func(group, id string) bool
}

// Connect notes a server. It is to be closed.
func (k *Keys) Connect(peer KeyPeer) *KeyReporter {
	return &KeyReporter{keys: k, peer: peer, ready: make(chan struct{}, 1), pendingReports: map[KeyName]*syncv1.KeyUse{}}
}

// Close forgets a server that said goodbye, which reports nothing again. One that was lost may,
// for a day.
func (r *KeyReporter) Close(goodbye bool) {
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	inc := k.incarnations[r.name]
	if inc == nil || inc.reporter != r {
		return
	}
	inc.reporter, inc.disconnectedAt = nil, k.clock.Now()
	if goodbye {
		k.drop(r.name)
		return
	}
	k.dropOldest(r.peer.Identity)
}

// dropOldest keeps the lives of an identity, whose servers were lost, from piling up. The caller holds the lock.
func (k *Keys) dropOldest(identity string) {
	lost, oldest := 0, incarnationName{}
	for name, inc := range k.incarnations {
		if name.identity != identity || inc.reporter != nil {
			continue
		}
		if lost++; lost == 1 || inc.disconnectedAt.Before(k.incarnations[oldest].disconnectedAt) {
			oldest = name
		}
	}
	if lost > maxIncarnations {
		k.drop(oldest)
	}
}

// drop forgets a life. What was taken of it stays. The caller holds the lock.
func (k *Keys) drop(name incarnationName) {
	k.counts -= len(k.incarnations[name].counts)
	delete(k.incarnations, name)
}

// Report takes in what the server reports. What is wrong is left out, each count by itself.
func (r *KeyReporter) Report(uses *syncv1.Uses) {
	if len(uses.GetKeys()) == 0 || uses.GetIncarnation() == "" || len(uses.GetIncarnation()) > maxIncarnation {
		return
	}
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.name.incarnation == "" {
		r.name = incarnationName{r.peer.Instance, r.peer.Identity, uses.GetIncarnation()}
		inc := k.incarnations[r.name]
		if inc == nil {
			inc = &incarnation{counts: map[KeyName]*counted{}}
			k.incarnations[r.name] = inc
		}
		inc.reporter = r
	}
	inc := k.incarnations[r.name]
	if inc == nil || inc.reporter != r {
		return // it has connected again, and says more there
	}
	for _, use := range uses.GetKeys() {
		if !r.take(inc, use) {
			keysRefused.Inc()
		}
	}
}

// take adds up one count, unless something is wrong with it. The caller holds the lock.
func (r *KeyReporter) take(inc *incarnation, use *syncv1.KeyUse) bool {
	k, name := r.keys, KeyName{Group: use.GetGroup(), ID: use.GetKey()}
	month, err := quotaledger.ParseMonth(use.GetPeriod())
	now := quotaledger.MonthOf(k.clock.Now())
	if err != nil || month != now && month != now.Previous() || use.GetRequests() > quotaledger.Max || use.GetRecorded() > use.GetRequests() ||
		len(name.ID) == 0 || len(name.ID) > maxKeyID || len(name.Group) > maxGroup {
		return false
	}
	if serves, known := r.peer.Serves(name.Group); !serves {
		return !known // it is being asked, and a later stream says it again
	}
	if k.keys[name] == nil && !r.peer.ServesKey(name.Group, name.ID) {
		r.report(name, month, use.GetRequests()) // it is gone, or never was: nothing more is needed of it
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
		is.month, is.pending, is.attempts = month, 0, nil // what is shown is this month
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
	if month != is.month { // the last one is not shown any more
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

// tell has the server told what is persisted. The caller holds the lock.
func (r *KeyReporter) report(name KeyName, month quotaledger.Month, recorded uint64) {
	if r.pendingReports[name] == nil && len(r.pendingReports) >= maxPendingReports {
		return // it takes nothing, and reports again what it was not told
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

// Take returns what is to be sent.
func (r *KeyReporter) Take() *syncv1.Allowances {
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	message := &syncv1.Allowances{NowMs: k.clock.Now().UnixMilli()}
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
