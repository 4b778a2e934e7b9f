package publish

import (
	"cmp"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/controllers/session"
)

// Server is how far a connected server is.
type Server struct {
	*session.Session

	// Groups is how many groups it has, or is being sent.
	Groups int
	// BehindSince is since when it lacks an update, or what it lacked when it connected; zero if it has everything.
	BehindSince time.Time
	// Rejected is how many records it cannot use, at least, and RejectionReason why it cannot use the first of them by name.
	Rejected        int
	RejectionReason string
}

// serverState is what is read of a Subscription under the Hub's lock.
type serverState struct {
	session     *session.Session
	selection   Selection // never changes
	all         bool
	allowed     int
	behindSince time.Time
	rejected    *rejections // never changes
}

// Servers returns how far each connected server is, in no order. Under the lock states are copied; the rest is done without it.
func (h *Hub) Servers() []Server {
	states, groups := h.serverStates()
	ofNamespace := map[string]int{}
	for group := range groups {
		ofNamespace[namespaceOf(group)]++
	}
	servers := make([]Server, 0, len(states))
	for i := range states {
		state := &states[i]
		server := Server{Session: state.session, Groups: state.allowed, BehindSince: state.behindSince}
		if state.all {
			server.Groups = state.selection.count(groups, ofNamespace)
		}
		server.Rejected, server.RejectionReason = state.rejected.first()
		servers = append(servers, server)
	}
	return servers
}

func (h *Hub) serverStates() (states []serverState, groups map[string]struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	states = make([]serverState, 0, len(h.subs))
	for sub := range h.subs {
		if sub.isDisconnected() {
			continue
		}
		states = append(states, serverState{
			session: sub.session, selection: sub.subscriber.Selection, all: sub.all, allowed: len(sub.allowed),
			behindSince: sub.behindSince(), rejected: sub.rejected,
		})
	}
	groups = make(map[string]struct{}, len(h.groups))
	for identity := range h.groups {
		groups[identity] = struct{}{}
	}
	return states, groups
}

// behindSince is since when the server lacks something; zero if it has everything.
func (s *Subscription) behindSince() time.Time {
	switch {
	case !s.caughtUp || s.acked < s.current:
		return s.session.Since()
	case !s.unacked.IsZero():
		return s.unacked
	default:
		return time.Time{}
	}
}

// count counts the groups that are selected.
func (s Selection) count(groups map[string]struct{}, ofNamespace map[string]int) int {
	if s.Everything() {
		return len(groups)
	}
	n := 0
	for namespace := range s.Namespaces {
		n += ofNamespace[namespace]
	}
	for group := range s.Groups {
		_, known := groups[group]
		if _, counted := s.Namespaces[namespaceOf(group)]; known && !counted {
			n++
		}
	}
	return n
}

// first returns how many records are rejected, at least, and why the first of them is: Groups before keys, by their names.
func (r *rejections) first() (count int, reason string) {
	if r == nil {
		return 0, ""
	}
	if len(r.reasons) == 0 {
		return 1, tooManyReason
	}
	least := func(a, b Ref) bool { return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID)) < 0 }
	var of Ref
	found := false
	for ref := range r.reasons {
		if !found || least(ref, of) {
			of, found = ref, true
		}
	}
	if count = len(r.reasons); r.more {
		count++
	}
	return count, r.reasons[of]
}
