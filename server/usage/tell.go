package usage

import (
	"cmp"
	"slices"
	"time"
)

// Key is the use of one key, as this server has seen it since it was started.
type Key struct {
	ID    string `json:"keyId"`
	Group string `json:"group"`
	// Period is the month that Requests are of, such as 2026-11; those of earlier months and
	// of other servers are not among them.
	Period     string    `json:"period"`
	Requests   uint64    `json:"requests"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	// Origins are the eight that it was used from most since the server was started, the
	// first first.
	Origins []Origin `json:"origins"`
}

// Origin is one origin that a key was used from.
type Origin struct {
	Origin   string `json:"origin"`
	Requests uint64 `json:"requests"`
	// Error is by how much Requests may be too high.
	Error uint64 `json:"error,omitempty"`
}

// Tell returns the keys that the function wants, those with the most requests first, up to a
// limit, and how many there are in all.
func (r *Recorder) Report(wants func(id, group string) bool, limit int) (reported []Key, all int) {
	reported = []Key{}
	for i := range r.shards {
		reported = r.shards[i].report(reported, wants)
	}
	slices.SortFunc(reported, func(a, b Key) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.ID, b.ID))
	})
	return reported[:min(limit, len(reported))], len(reported)
}

func (s *shard) report(reported []Key, wants func(id, group string) bool) []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := range s.all {
		k := s.keys.at(number)
		if id, group := s.id(number), s.recorder.groups.of(k.group); wants(id, group) {
			reported = append(reported, Key{
				ID: id, Group: group, Period: k.month.String(), Requests: k.count.requests,
				LastUsedAt: time.UnixMilli(k.last).UTC(), Origins: s.reportOrigins(k),
			})
		}
	}
	return reported
}

func (s *shard) reportOrigins(k *key) []Origin {
	reported := []Origin{}
	for number := k.origins; number != 0; {
		m := s.monitors.at(number)
		reported = append(reported, Origin{s.origins.of(m.text), m.requests, m.error})
		number = m.next
	}
	slices.SortFunc(reported, func(a, b Origin) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Origin, b.Origin))
	})
	return reported
}
