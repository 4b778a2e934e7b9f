// Package decisionlog remembers the last decisions, so that a person can find out why a request was allowed or denied. It
// keeps who sent the request, from where, and the outcome; never a credential, a path or a query.
package decisionlog

import (
	"sync"
	"sync/atomic"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// kept is how many decisions are remembered.
	kept = 10_000

	// Text that a client may choose is truncated to this many bytes.
	maxHost   = 253
	maxOrigin = 280
	maxMethod = 20
)

// Ring holds the last decisions. It is safe for concurrent use. Recording does not wait for readers of other decisions, and
// does not allocate once all slots have been used.
//
// Invariants: the decision with sequence number n is in slot n modulo the number of slots, or is not there. Readers take next
// first and the slots afterwards, one lock at a time, so by then a slot may hold a later decision, or still an older one;
// slot.sequence, under the slot's lock, says which. If two recorders meet in one slot after a lap of the whole ring, either
// decision may remain.
type Ring struct {
	slots []slot
	next  atomic.Uint64
}

// slot is one decision. Text from the request is copied into text, which is reused, so that no decision keeps a request's
// buffers alive.
type slot struct {
	mu       sync.Mutex // guards all fields
	sequence uint64     // 0 is none
	at       time.Time
	code     decision.Code

	integration, keyID, group, project string

	location decision.Location

	text []byte
	ends [texts]int // of each text
}

// The texts of a slot.
const (
	textID = iota
	textMethod
	textHost
	textOrigin
	texts
)

// New returns an empty ring.
func New() *Ring { return newRing(kept) }

func newRing(size int) *Ring { return &Ring{slots: make([]slot, size)} }

// Record implements authorizer.Recorder.
func (r *Ring) Record(integration string, at time.Time, request *authorizer.Request, result *authorizer.Result) {
	sequence := r.next.Add(1)
	s := &r.slots[sequence%uint64(len(r.slots))]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequence, s.at, s.code, s.integration = sequence, at, result.Code, integration
	s.keyID, s.group, s.project = "", "", ""
	s.location = request.Location
	if result.Group != nil {
		s.keyID, s.group = result.Key.ID, result.Group.Identity
	}
	if result.Project != nil {
		s.project = result.Project.Name
	}
	s.text = s.text[:0]
	s.keep(textID, request.ID, len(request.ID))
	s.keep(textMethod, methodOf(request), maxMethod)
	s.keep(textHost, request.Host, maxHost)
	s.keep(textOrigin, originOf(request), maxOrigin)
}

// keep adds the next text. A key in the wrong place is not kept.
func (s *slot) keep(which int, text string, limit int) {
	if !keyformat.WellFormed(text) {
		s.text = append(s.text, text[:min(len(text), limit)]...)
	}
	s.ends[which] = len(s.text)
}

func (s *slot) get(which int) string {
	begin := 0
	if which > 0 {
		begin = s.ends[which-1]
	}
	return string(s.text[begin:s.ends[which]])
}

// locationOf returns the name of a location that leaks, and "" for a header.
func locationOf(l decision.Location) string {
	if l == decision.InHeader {
		return ""
	}
	return l.String()
}

// methodOf returns the method, or "other" for what is not a method: a client can send anything in its place.
func methodOf(request *authorizer.Request) string {
	for _, c := range []byte(request.Method) {
		if (c < 'A' || c > 'Z') && c != '-' {
			return "other"
		}
	}
	return request.Method
}

// originOf returns the origin that was decided on, from the Origin header or else from the Referer without its path.
func originOf(request *authorizer.Request) string {
	var from origin.Origin
	var err error
	switch {
	case request.Origin == "null":
		return request.Origin
	case request.Origin != "":
		from, err = origin.Parse(request.Origin)
	case request.Referer != "":
		from, err = origin.ParseReferer(request.Referer)
	default:
		return ""
	}
	if err != nil {
		return "unreadable"
	}
	return from.String()
}

// Query selects decisions; an empty field matches any.
type Query struct {
	RequestID, KeyID, Code string
	Limit                  int
}

func (q *Query) matches(s *slot) bool {
	return (q.Code == "" || q.Code == s.code.String()) &&
		(q.KeyID == "" || q.KeyID == s.keyID) &&
		(q.RequestID == "" || q.RequestID == s.get(textID))
}

// Find returns the decisions that match, the latest first.
func (r *Ring) Find(query Query) []adminv1.Decision {
	found := []adminv1.Decision{}
	newest, size := r.next.Load(), uint64(len(r.slots))
	for sequence := newest; sequence > 0 && sequence+size > newest && len(found) < query.Limit; sequence-- {
		if decision, ok := r.slots[sequence%size].read(sequence, &query); ok {
			found = append(found, decision)
		}
	}
	return found
}

// read returns the decision if it is still there and matches.
func (s *slot) read(sequence uint64, query *Query) (adminv1.Decision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sequence != sequence || !query.matches(s) {
		return adminv1.Decision{}, false
	}
	return adminv1.Decision{
		Time: s.at.UTC(), RequestID: s.get(textID), Integration: s.integration, Code: s.code.String(), Status: s.code.Status(),
		Method: s.get(textMethod), Host: s.get(textHost), Origin: s.get(textOrigin),
		Group: s.group, Project: s.project, KeyID: s.keyID, KeyLocation: locationOf(s.location),
	}, true
}
