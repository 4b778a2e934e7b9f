package usage

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/keyward-dev/keyward/api/origin"
)

const (
	// monitored is how many origins of a key are told apart.
	monitored = 8
	// maxOrigins is of how many keys origins are told apart; with the longest origins that
	// there are, these take 50 MB.
	maxOrigins = 20_000
	// maxOrigin is the longest serialization of an origin, in bytes: scheme, host and port.
	maxOrigin = 280
)

// origins are the origins that a key is used from most, by the algorithm Space-Saving (Metwally,
// Agrawal and El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams,
// ICDT 2005). With m = 8 monitored origins and N requests that have one, a count is never too low,
// it is too high by at most its error, which is at most N/m, and every origin of more than N/m
// requests is among them. Requests that arrive while their origin gives way to another may be
// missed: at most one for each processor and change.
//
// To count a known origin takes neither a lock nor memory.
type origins struct {
	monitored [monitored]atomic.Pointer[monitor]

	mu sync.Mutex // of who replaces one
}

// monitor counts one origin. Its text is the serialization, never what a client wrote.
type monitor struct {
	text     string
	requests atomic.Uint64
	error    uint64
}

// from counts a request by its Origin or Referer.
func (r *Recorder) from(k *key, header string, referer bool) {
	o := k.origins.Load()
	if o == nil {
		if o = r.monitor(k); o == nil {
			return
		}
	}
	if referer {
		header = withoutPath(header)
	}
	if m := o.find(header); m != nil { // as browsers write it
		m.requests.Add(1)
		return
	}
	from, err := origin.Parse(header)
	if err != nil {
		return // nothing that an allowlist could have allowed
	}
	o.count(from)
}

// monitor begins to tell the origins of a key apart; nil where there are too many keys.
func (r *Recorder) monitor(k *key) *origins {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := k.origins.Load()
	if o == nil && r.origins < maxOrigins && r.keys[k.id] == k {
		r.origins++
		o = &origins{}
		k.origins.Store(o)
	}
	return o
}

// withoutPath leaves of a Referer what an Origin has. Its path and query are not looked at any
// further.
func withoutPath(referer string) string {
	const mark = "://"
	authority := strings.Index(referer, mark)
	if authority < 0 {
		return ""
	}
	authority += len(mark)
	if end := strings.IndexAny(referer[authority:], "/?#"); end >= 0 {
		return referer[:authority+end]
	}
	return referer
}

func (o *origins) find(text string) *monitor {
	for i := range o.monitored {
		if m := o.monitored[i].Load(); m != nil && m.text == text {
			return m
		}
	}
	return nil
}

// count counts an origin that may not be monitored yet. It takes the place of the one with the
// fewest requests, and inherits their number as its error.
func (o *origins) count(from origin.Origin) {
	text := from.String()
	if len(text) > maxOrigin {
		return // no host is so long
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if m := o.find(text); m != nil {
		m.requests.Add(1)
		return
	}
	least, fewest := 0, uint64(0)
	for i := range o.monitored {
		m := o.monitored[i].Load()
		if m == nil {
			least, fewest = i, 0
			break
		}
		if requests := m.requests.Load(); i == 0 || requests < fewest {
			least, fewest = i, requests
		}
	}
	m := &monitor{text: strings.Clone(text), error: fewest}
	m.requests.Store(fewest + 1)
	o.monitored[least].Store(m)
}
