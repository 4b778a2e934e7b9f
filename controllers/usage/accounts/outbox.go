package accounts

import (
	"maps"
	"slices"
	"sync"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/store"
)

// outbox holds what a server is to be told until its stream takes it: of each account the
// latest. Putting something in never waits.
type outbox struct {
	ready chan struct{} // one slot: there is something

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

// isFull reports whether so much waits that refusals are left out. What a server is allowed never is: it is bounded by
// the groups that there are.
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

// once is how many allowances one message carries.
const allowancesPerMessage = 5000

// take empties the outbox as far as one message goes.
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
