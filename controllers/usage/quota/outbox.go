package quota

import (
	"maps"
	"slices"
	"sync"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/store"
)

// outbox holds the allowances for a server until its stream takes them: the latest of each ledger. put never blocks.
//
// mu guards allowances. ready is sent to after something was put in, without blocking: a signal may be spurious, but is
// never lost.
type outbox struct {
	ready chan struct{} // one slot: there may be something to take

	mu         sync.Mutex
	allowances map[store.Key]*syncv1.Allowance
}

func newOutbox() outbox {
	return outbox{ready: make(chan struct{}, 1), allowances: map[store.Key]*syncv1.Allowance{}}
}

func (o *outbox) put(key store.Key, allowance *syncv1.Allowance) {
	o.mu.Lock()
	if earlier := o.allowances[key]; earlier != nil && earlier.GetSequence() == allowance.GetSequence() {
		allowance.Recall = allowance.GetRecall() || earlier.GetRecall()
	}
	o.allowances[key] = allowance
	o.mu.Unlock()
	o.signal()
}

// isFull reports whether refusals are left out because too much waits. Allowances are never left out: they are bounded by the
// number of groups and of keys with a quota.
func (o *outbox) isFull() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.allowances) >= maxRefusals
}

func (o *outbox) signal() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// allowancesPerMessage is how many allowances one message has.
const allowancesPerMessage = 5000

// take returns what waits, as much as one message takes.
func (o *outbox) take(nowMillis int64) *syncv1.Allowances {
	o.mu.Lock()
	defer o.mu.Unlock()
	message := &syncv1.Allowances{NowMs: nowMillis}
	for _, key := range slices.Collect(maps.Keys(o.allowances)) {
		if len(message.GetGroups()) == allowancesPerMessage {
			o.signal()
			break
		}
		message.Groups = append(message.Groups, o.allowances[key])
		delete(o.allowances, key)
	}
	return message
}
