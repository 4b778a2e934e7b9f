// Package decisionlog remembers the last decisions, to tell a person why a request was answered
// as it was. It keeps who, where from and the outcome; never a credential, a path or a
// query.
package decisionlog

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// kept is how many decisions are remembered.
	kept = 10_000

	// What a client may choose is cut off after so many bytes.
	maxHost   = 253
	maxOrigin = 280
	maxMethod = 20
)

// Ring holds the last decisions. It is safe for concurrent use, and recording in it neither
// waits for readers of other decisions nor allocates once it has gone round.
type Ring struct {
	slots []slot
	next  atomic.Uint64
}

// slot is one decision. What comes from the request is copied into text, which is reused,
// so that no decision keeps a request's buffers alive.
type slot struct {
	mu       sync.Mutex
	sequence uint64 // 0 is none
	at       time.Time
	code     decision.Code

	integration, keyID, group, project string

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

// keep adds the next text. A key that strayed into one is not kept.
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

// methodOf leaves out what is no method: a client can send anything in its place.
func methodOf(request *authorizer.Request) string {
	for _, c := range []byte(request.Method) {
		if (c < 'A' || c > 'Z') && c != '-' {
			return "other"
		}
	}
	return request.Method
}

// originOf returns the origin that was decided on, by Origin or else by Referer, whose path
// is left out.
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

// Decision is one decision as it is told.
type Decision struct {
	Time        time.Time `json:"time"`
	RequestID   string    `json:"requestId"`
	Integration string    `json:"door"`
	Code        string    `json:"code"`
	Status      int       `json:"status"`
	Method      string    `json:"method,omitempty"`
	Host        string    `json:"host,omitempty"`
	Origin      string    `json:"origin,omitempty"`
	Group       string    `json:"group,omitempty"`
	Project     string    `json:"project,omitempty"`
	KeyID       string    `json:"keyId,omitempty"`
}

// Query says which decisions to tell; what is empty is any.
type Query struct {
	RequestID, KeyID, Code string
	Limit                  int
}

func (q *Query) matches(s *slot) bool {
	return (q.Code == "" || q.Code == s.code.String()) &&
		(q.KeyID == "" || q.KeyID == s.keyID) &&
		(q.RequestID == "" || q.RequestID == s.get(textID))
}

// Find returns decisions, the latest first.
func (r *Ring) Find(query Query) []Decision {
	found := []Decision{}
	newest, size := r.next.Load(), uint64(len(r.slots))
	for sequence := newest; sequence > 0 && sequence+size > newest && len(found) < query.Limit; sequence-- {
		if decision, ok := r.slots[sequence%size].tell(sequence, &query); ok {
			found = append(found, decision)
		}
	}
	return found
}

// tell returns the decision if it is still there and wanted.
func (s *slot) tell(sequence uint64, query *Query) (Decision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sequence != sequence || !query.matches(s) {
		return Decision{}, false
	}
	return Decision{
		Time: s.at.UTC(), RequestID: s.get(textID), Integration: s.integration, Code: s.code.String(), Status: s.code.Status(),
		Method: s.get(textMethod), Host: s.get(textHost), Origin: s.get(textOrigin),
		Group: s.group, Project: s.project, KeyID: s.keyID,
	}, true
}
