package usage

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// reportedOrigins is how many origins of a group are reported at once.
	reportedOrigins = 10
	// maxReportedOrigin is the longest origin that is reported, in bytes: the manager shows no longer ones.
	maxReportedOrigin = 128
	// refusedOrigins is how many origins of a group are counted whose requests were refused for them, until the next report: clients write
	// what they like there.
	refusedOrigins = 32
)

// outcomes counts requests by group and code, since they were last reported: refused ones, and those that were allowed without a key. Its
// zero value is empty.
//
// A request counts under the read lock, so that nobody counts in a map that was taken under the write lock.
type outcomes struct {
	mu     sync.RWMutex
	groups map[string]*[codes]atomic.Uint64
	// origins are those that requests were refused for, by group, at most refusedOrigins of a group.
	origins map[string]map[string]uint64
}

// codes is more than there are decision codes.
const codes = 64

// Refused counts a refused request with a key of the group namespace/name.
func (r *Recorder) Refused(group string, code decision.Code) { r.outcomes.count(group, code) }

// RefusedOrigin counts a request with a key of the group that was refused for its origin.
func (r *Recorder) RefusedOrigin(group string, request *decision.Request) {
	if text := reportedOrigin(request); text != "" {
		r.outcomes.countOrigin(group, text)
	}
}

func (all *outcomes) countOrigin(group, text string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.origins == nil {
		all.origins = map[string]map[string]uint64{}
	}
	counts := all.origins[group]
	if counts == nil {
		counts = map[string]uint64{}
		all.origins[strings.Clone(group)] = counts
	}
	if _, known := counts[text]; known || len(counts) < refusedOrigins {
		counts[text]++
	}
}

// Public counts a request to the group namespace/name that was allowed without a key.
func (r *Recorder) Public(group string) { r.outcomes.count(group, decision.Public) }

func (all *outcomes) count(group string, code decision.Code) {
	if int(code) >= codes {
		return
	}
	all.mu.RLock()
	counts := all.groups[group]
	if counts != nil {
		counts[code].Add(1)
	}
	all.mu.RUnlock()
	if counts != nil {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.groups == nil {
		all.groups = map[string]*[codes]atomic.Uint64{}
	}
	if all.groups[group] == nil {
		all.groups[strings.Clone(group)] = &[codes]atomic.Uint64{}
	}
	all.groups[group][code].Add(1)
}

func (all *outcomes) take() (groups map[string]*[codes]atomic.Uint64, origins map[string]map[string]uint64) {
	all.mu.Lock()
	defer all.mu.Unlock()
	groups, origins = all.groups, all.origins
	all.groups, all.origins = nil, nil
	return groups, origins
}

// Traffic returns what was refused of each group since it was last called, what was allowed without a key, and the origins that most of its allowed requests came
// from. Origins are those of up to maxOrigins keys.
func (r *Recorder) Traffic() []*syncv1.GroupTraffic {
	groups := map[string]*syncv1.GroupTraffic{}
	of := func(group string) *syncv1.GroupTraffic {
		if groups[group] == nil {
			groups[group] = &syncv1.GroupTraffic{Group: group}
		}
		return groups[group]
	}
	outcomes, refused := r.outcomes.take()
	for group, counts := range outcomes {
		traffic := of(group)
		traffic.Refusals = map[string]uint64{}
		for _, code := range decision.Codes() {
			if n := counts[code].Load(); n > 0 && code != decision.Public {
				traffic.Refusals[code.String()] = n
			}
		}
		traffic.Public = counts[decision.Public].Load()
	}
	for group, origins := range refused {
		of(group).RefusedOrigins = most(origins)
	}
	seen := map[string]map[string]uint64{}
	for i := range r.shards {
		r.shards[i].takeOrigins(seen)
	}
	for group, origins := range seen {
		of(group).Origins = most(origins)
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b *syncv1.GroupTraffic) int {
		return strings.Compare(a.GetGroup(), b.GetGroup())
	})
}

// takeOrigins adds the requests from origins that were not reported yet, by group and origin.
func (s *shard) takeOrigins(seen map[string]map[string]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := range s.all {
		k := s.keys.at(number)
		for at := s.originsOf(k); at != 0; {
			m := s.monitors.at(at)
			at = m.next
			if m.requests == m.reported {
				continue
			}
			text := withoutPort(s.origins.of(m.text))
			if len(text) > maxReportedOrigin {
				continue
			}
			group := s.recorder.groups.of(k.group)
			if seen[group] == nil {
				seen[group] = map[string]uint64{}
			}
			seen[group][text] += m.requests - m.reported
			m.reported = m.requests
		}
	}
}

// withoutPort returns scheme://host of a serialized origin.
func withoutPort(text string) string {
	scheme := strings.Index(text, "://")
	port := strings.LastIndexByte(text, ':')
	if port <= scheme || strings.HasSuffix(text, "]") {
		return text
	}
	return text[:port]
}

// most returns the origins with the most requests.
func most(origins map[string]uint64) []*syncv1.OriginUse {
	all := make([]*syncv1.OriginUse, 0, len(origins))
	for origin, requests := range origins {
		all = append(all, &syncv1.OriginUse{Origin: origin, Requests: requests})
	}
	slices.SortFunc(all, func(a, b *syncv1.OriginUse) int {
		return cmp.Or(cmp.Compare(b.GetRequests(), a.GetRequests()), strings.Compare(a.GetOrigin(), b.GetOrigin()))
	})
	return all[:min(len(all), reportedOrigins)]
}
