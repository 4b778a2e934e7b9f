package usage

import (
	"strings"

	"github.com/keyward-dev/keyward/internal/origin"
)

const (
	// monitored is how many origins of a key are counted.
	monitored = 8
	// maxOrigins is how many keys have their origins counted. If all origins are different and as long as possible, they
	// take 60 MB.
	maxOrigins = 20_000
	// maxOrigin is the longest serialization of an origin, in bytes: scheme, host and port.
	maxOrigin = 280
)

// monitor counts one of the origins that a key is used from most, by the algorithm Space-Saving (Metwally, Agrawal and El
// Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams, ICDT 2005). With m = 8 monitored origins
// and N requests that have an origin, a count is never too low, it is too high by at most its error, which is at most N/m,
// and every origin of more than N/m requests is monitored.
type monitor struct {
	requests uint64
	error    uint64
	reported uint64 // of requests; see Traffic
	text     uint32 // the number of its serialization, which is never text that a client wrote
	next     uint32 // monitor of the key, 0 is none
}

// countKnown counts a request if its origin is monitored and written as browsers do; otherwise it returns false.
func (s *shard) countKnown(k *key, text string) bool {
	for number := s.originsOf(k); number != 0; {
		m := s.monitors.at(number)
		if s.origins.of(m.text) == text {
			m.requests++
			return true
		}
		number = m.next
	}
	return false
}

// originsOf returns the number of the first monitor of a key.
func (s *shard) originsOf(k *key) uint32 {
	if k.more == 0 {
		return 0
	}
	return s.more.at(k.more).origins
}

// noteOrigin counts a request by its origin, in any spelling.
func (s *shard) noteOrigin(of *name, written string) {
	from, err := origin.Parse(written)
	if err != nil {
		return // an origin that no allowlist could have allowed
	}
	text := from.String()
	if len(text) > maxOrigin {
		return // no host is that long
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if number := s.find(of); number != 0 && !s.countKnown(s.keys.at(number), text) {
		s.countNew(s.keys.at(number), text)
	}
}

// countNew counts an origin that is not monitored yet. It replaces the origin with the fewest requests, of several the one
// that was added first, and inherits its number of requests as the error.
func (s *shard) countNew(k *key, text string) {
	var fewest *monitor
	monitors := 0
	for number := s.originsOf(k); number != 0; monitors++ {
		m := s.monitors.at(number)
		if fewest == nil || m.requests <= fewest.requests {
			fewest = m
		}
		number = m.next
	}
	switch {
	case monitors == monitored:
		s.origins.release(fewest.text)
		fewest.text, fewest.error, fewest.reported = s.origins.refer(text), fewest.requests, fewest.requests
		fewest.requests++
	case monitors > 0 || s.recorder.mayMonitor():
		number := s.monitors.take()
		*s.monitors.at(number) = monitor{requests: 1, text: s.origins.refer(text), next: s.originsOf(k)}
		s.moreOf(k).origins = number
	}
}

// mayMonitor reports whether the origins of one more key may be counted, and reserves its place if so.
func (r *Recorder) mayMonitor() bool {
	if r.origins.Add(1) <= maxOrigins {
		return true
	}
	r.origins.Add(-1)
	return false
}

func (s *shard) dropOrigins(k *key) {
	if k.more == 0 {
		return
	}
	of := s.more.at(k.more)
	if of.origins != 0 {
		s.recorder.origins.Add(-1)
	}
	for number := of.origins; number != 0; {
		m := *s.monitors.at(number)
		s.origins.release(m.text)
		s.monitors.release(number)
		number = m.next
	}
	of.origins = 0
	s.releaseMore(k)
}

// withoutPath returns the part of a Referer that an Origin has. Path and query are not looked at any further.
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
