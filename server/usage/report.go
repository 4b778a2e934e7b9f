package usage

import (
	"cmp"
	"slices"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
)

// Report returns the use of the keys that the function selects, those with the most requests first, up to a limit, and how
// many there are in all. The selected function must not call the Recorder.
func (r *Recorder) Report(selected func(id, group string) bool, limit int) (reported []adminv1.KeyUsage, total int) {
	reported = []adminv1.KeyUsage{}
	for i := range r.shards {
		before := len(reported)
		reported = r.shards[i].report(reported, selected)
		total += len(reported) - before
		slices.SortFunc(reported, func(a, b adminv1.KeyUsage) int {
			return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.KeyID, b.KeyID))
		})
		if len(reported) > limit { // what is beyond is not kept until all shards are read
			clear(reported[limit:])
			reported = reported[:limit]
		}
	}
	return reported, total
}

func (s *shard) report(reported []adminv1.KeyUsage, selected func(id, group string) bool) []adminv1.KeyUsage {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := range s.all {
		k := s.keys.at(number)
		if id, group := s.id(number), s.recorder.groups.of(k.group); selected(id, group) {
			reported = append(reported, adminv1.KeyUsage{
				KeyID: id, Group: group, Period: k.month().String(), Requests: k.requests.get(),
				LastUsedAt: time.UnixMilli(k.last.millis()).UTC(), Origins: s.reportOrigins(k),
			})
		}
	}
	return reported
}

func (s *shard) reportOrigins(k *key) []adminv1.OriginUsage {
	reported := []adminv1.OriginUsage{}
	for number := s.originsOf(k); number != 0; {
		m := s.monitors.at(number)
		reported = append(reported, adminv1.OriginUsage{Origin: s.origins.of(m.text), Requests: m.requests, Error: m.error})
		number = m.next
	}
	slices.SortFunc(reported, func(a, b adminv1.OriginUsage) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Origin, b.Origin))
	})
	return reported
}
