package accesslog

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxReceipts is how many allowed requests may still lack their log entry: some 16 MB.
	maxReceipts = 1 << 17

	receiptSize = 16 // random bytes, so that nobody can guess a receipt

	// A response has at most as many bytes as 100 Gbit/s transfer since its request was allowed, and some that were
	// already on their way. So a client that has a key and reaches the port can claim no more than could have been
	// sent.
	bytesPerMicrosecond = 12_500
	bytesAtOnce         = 1 << 20
	// maxResponse is the maximum that is accepted for one response, however long it took.
	maxResponse = 1 << 40
)

var receiptText = base64.RawURLEncoding

type receipt [receiptSize]byte

// Receipts stores which requests were allowed and have not been in an access log yet. A receipt is a random text that
// goes to Envoy with the decision, and comes back with the log entry. Memory is bounded: when it is full, the Group
// with the most receipts loses its oldest one, so that a flood of one Group does not affect others.
type Receipts struct {
	limit int
	now   func() time.Time

	mu     sync.Mutex
	all    map[receipt]*outstanding
	groups map[string]*holder
	widest *holder // the Group that lost a receipt last; it often still has the most

	dropped prometheus.Counter
}

// holder is a Group with receipts, in the order in which they were issued.
type holder struct {
	group          string
	count          int
	oldest, newest *outstanding
}

type outstanding struct {
	receipt        receipt
	holder         *holder
	keyID          string
	at             time.Time
	earlier, later *outstanding
}

// NewReceipts returns an empty store that reads the time from now, and registers its metrics.
func NewReceipts(now func() time.Time, metrics prometheus.Registerer) *Receipts {
	return newReceipts(maxReceipts, now, metrics)
}

func newReceipts(limit int, now func() time.Time, metrics prometheus.Registerer) *Receipts {
	r := &Receipts{
		limit: limit, now: now, all: map[receipt]*outstanding{}, groups: map[string]*holder{},
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyward_validator_access_log_receipts_dropped_total",
			Help: "Receipts that were dropped because too many allowed requests have no entry in an access log of Envoy yet: " +
				"the bytes of their responses will not be counted.",
		}),
	}
	metrics.MustRegister(r.dropped, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keyward_validator_access_log_receipts",
		Help: "Allowed requests that have not been in an access log of Envoy yet.",
	}, func() float64 { return float64(r.count()) }))
	return r
}

func (r *Receipts) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// Issue stores an allowed request with a key of a group (namespace/name), and returns its receipt.
func (r *Receipts) Issue(group, keyID string) string {
	o := &outstanding{keyID: keyID, at: r.now()}
	_, _ = rand.Read(o.receipt[:]) // it never fails
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.groups[group]
	if h == nil {
		h = &holder{group: group}
		r.groups[group] = h
	}
	if len(r.all) >= r.limit {
		r.remove(r.fullest(h).oldest)
		r.dropped.Inc()
	}
	if h.count == 0 {
		r.groups[group] = h // it may just have lost its last one
	}
	o.holder, o.earlier = h, h.newest
	if h.newest != nil {
		h.newest.later = o
	} else {
		h.oldest = o
	}
	h.newest = o
	h.count++
	r.all[o.receipt] = o
	return receiptText.EncodeToString(o.receipt[:])
}

// fullest returns a Group that has its share of the memory or more. In most cases that is the caller's Group or the one
// that was found last: all Groups are compared only if it is neither.
func (r *Receipts) fullest(caller *holder) *holder {
	share := max(r.limit/len(r.groups), 1)
	for _, h := range [...]*holder{caller, r.widest} {
		if h != nil && h.count >= share {
			return h
		}
	}
	r.widest = nil
	for _, h := range r.groups {
		if r.widest == nil || h.count > r.widest.count {
			r.widest = h
		}
	}
	return r.widest
}

// remove deletes a receipt, and with its last receipt the Group.
func (r *Receipts) remove(o *outstanding) {
	delete(r.all, o.receipt)
	h := o.holder
	if o.earlier != nil {
		o.earlier.later = o.later
	} else {
		h.oldest = o.later
	}
	if o.later != nil {
		o.later.earlier = o.earlier
	} else {
		h.newest = o.earlier
	}
	if h.count--; h.count == 0 {
		delete(r.groups, h.group)
	}
}

// redeem returns the response that a receipt is for, with no more bytes than are possible, and deletes the receipt.
func (r *Receipts) redeem(text string, bytes uint64) (Response, bool) {
	var key receipt
	if len(text) != receiptText.EncodedLen(receiptSize) {
		return Response{}, false
	}
	if _, err := receiptText.Strict().Decode(key[:], []byte(text)); err != nil {
		return Response{}, false
	}
	r.mu.Lock()
	o := r.all[key]
	if o != nil {
		r.remove(o)
	}
	r.mu.Unlock()
	if o == nil {
		return Response{}, false
	}
	micros := uint64(max(r.now().Sub(o.at), 0).Microseconds())
	possible := uint64(maxResponse)
	if micros < maxResponse/bytesPerMicrosecond {
		possible = bytesAtOnce + micros*bytesPerMicrosecond
	}
	return Response{Group: o.holder.group, KeyID: o.keyID, BodyBytes: min(bytes, possible, maxResponse)}, true
}
