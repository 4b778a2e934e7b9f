package usage

import (
	"strings"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

const (
	// keepRecorded is how long beyond a day a count is kept that the manager has persisted. If the count began from 0
	// again, the manager would take the first requests for those that it has counted already, until it has forgotten the
	// count as well: a day after it has written it, which is later.
	keepRecorded = 24 * time.Hour
	// keepUnrecorded is how long beyond a day a count is kept that the manager does not persist: by then the month is over.
	keepUnrecorded = 31 * 24 * time.Hour
)

// maxInlineID is the length of the ids that the manager gives to keys. Other ids may be longer.
const maxInlineID = 17

// key is the use of one key, of all its versions. It is as large as a cache line, so that counting a request waits for
// memory once.
type key struct {
	last  int64 // when it was used, Unix milliseconds
	count count // of the month

	// Numbers, of which 0 is none.
	group    uint32
	versions uint32 // the first
	origins  uint32 // the first monitor

	month  month
	length uint8 // of the id; isLong if the id is in longIDs
	inline [maxInlineID]byte
}

const isLong = 0xff

// count is the requests of one key in one month, in this incarnation of the server.
type count struct {
	requests uint64
	sent     uint64 // as it was reported on this stream last
	recorded uint64 // as the manager has persisted it
}

// past is the count of an earlier month that the manager has not persisted.
type past struct {
	count

	month month
}

func (s *shard) setID(number uint32, id string) {
	k := s.keys.at(number)
	if len(id) <= maxInlineID {
		k.length = uint8(copy(k.inline[:], id))
		return
	}
	k.length = isLong
	if s.longIDs == nil {
		s.longIDs = map[uint32]string{}
	}
	s.longIDs[number] = strings.Clone(id) // it may be part of a larger string
}

func (s *shard) id(number uint32) string {
	k := s.keys.at(number)
	if k.length == isLong {
		return s.longIDs[number]
	}
	return string(k.inline[:k.length])
}

func (s *shard) isID(number uint32, id string) bool {
	k := s.keys.at(number)
	if k.length == isLong {
		return s.longIDs[number] == id
	}
	return string(k.inline[:k.length]) == id
}

// count counts requests. The months are those of the manager's clock. If the clock was turned back, requests count in the
// month that has begun already.
func (s *shard) count(number uint32, requests uint64, millis int64) {
	k := s.keys.at(number)
	k.last = max(k.last, millis)
	if now := s.calendar.of(millis + s.recorder.offset.Load()); now > k.month {
		s.roll(number, now)
	}
	k.count.requests += requests
}

// roll begins a month. The count of the last one is kept until it is persisted.
func (s *shard) roll(number uint32, now month) {
	k := s.keys.at(number)
	delete(s.before, number)
	if !k.count.isRecorded() {
		if s.before == nil {
			s.before = map[uint32]past{}
		}
		s.before[number] = past{k.count, k.month}
	}
	k.count, k.month = count{}, now
}

func (c *count) isRecorded() bool { return c.requests == c.recorded }

// take reports whether the count has to be reported, and marks it as reported.
func (c *count) take(whole bool) bool {
	if c.isRecorded() || c.requests == c.sent && !whole {
		return false
	}
	c.sent = c.requests
	return true
}

// record applies how much the manager has persisted. The message may be older than an earlier one.
func (c *count) record(recorded uint64) { c.recorded = max(c.recorded, min(recorded, c.requests)) }

// reportCounts appends the counts that have to be reported.
func (s *shard) reportCounts(uses []*syncv1.KeyUse, whole bool) []*syncv1.KeyUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	report := func(number uint32, c *count, in month) {
		uses = append(uses, &syncv1.KeyUse{
			Key: s.id(number), Group: s.recorder.groups.of(s.keys.at(number).group),
			Period: in.String(), Requests: c.requests, Recorded: c.recorded,
		})
	}
	for number := range s.all {
		if p, ok := s.before[number]; ok && p.take(whole) {
			s.before[number] = p
			report(number, &p.count, p.month)
		}
		if k := s.keys.at(number); k.count.take(whole) {
			report(number, &k.count, k.month)
		}
	}
	return uses
}

// recorded applies how much of a month the manager has persisted.
func (s *shard) recorded(hash uint64, id string, in month, recorded uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.find(hash, id)
	if number == 0 {
		return
	}
	if k := s.keys.at(number); k.month == in {
		k.count.record(recorded)
	}
	if p, ok := s.before[number]; ok && p.month == in {
		p.record(recorded)
		if s.before[number] = p; p.isRecorded() {
			delete(s.before, number)
		}
	}
}

// isForgotten reports whether a key was not used since the instant, in Unix milliseconds, and may be forgotten. A count
// that the manager has not persisted is kept for longer: the manager may be disconnected.
func (s *shard) isForgotten(number uint32, since int64) bool {
	k := s.keys.at(number)
	_, unrecorded := s.before[number]
	keep := keepRecorded
	if unrecorded || !k.count.isRecorded() {
		keep = keepUnrecorded
	}
	return k.last < since-keep.Milliseconds()
}
