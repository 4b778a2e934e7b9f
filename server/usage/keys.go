package usage

import (
	"encoding/binary"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

const (
	// keepRecorded is how long beyond a day a count is kept that the manager has persisted. If the count began from 0
	// again, the manager would take the first requests for those that it has counted already, until it has forgotten the
	// count as well: a day after it has written it, which is later.
	keepRecorded = 24 * time.Hour
	// keepUnrecorded is how long beyond a day a count is kept that the manager does not persist: by then the month is over.
	keepUnrecorded = 31 * 24 * time.Hour
)

// key is the use of one key, of all its versions. There is one for each key in use, so it is small.
type key struct {
	digest keyformat.Digest // of the version that was used last, if hasLatest

	// Numbers, of which 0 is none.
	group uint32
	more  uint32 // what few keys have

	id                 packed // unless hasLongID
	last               uint48 // when it was used, Unix milliseconds
	requests, recorded uint48 // of its count
	state              uint16 // flags, and the month
}

// flags of a key; the other bits of its state are the month.
const (
	hasLongID uint16 = 1 << iota // the id is in longIDs
	hasLatest                    // its last use was one of the version with digest
	hasUnsent                    // its count was not reported on this stream as it is
	flagBits  = iota
)

func (k *key) is(flag uint16) bool { return k.state&flag != 0 }

func (k *key) set(flag uint16, on bool) {
	if k.state &^= flag; on {
		k.state |= flag
	}
}

func (k *key) month() month { return month(k.state >> flagBits) }

func (k *key) setMonth(m month) { k.state = k.state&(1<<flagBits-1) | uint16(m)<<flagBits }

func (k *key) count() count { return count{k.requests.get(), k.recorded.get(), k.is(hasUnsent)} }

func (k *key) setCount(c count) {
	k.requests.put(c.requests)
	k.recorded.put(c.recorded)
	k.set(hasUnsent, c.unsent)
}

// uint48 is a number in 6 bytes. What is larger counts as the largest.
type uint48 [6]byte

func (u *uint48) get() uint64 {
	return uint64(binary.LittleEndian.Uint32(u[:4])) | uint64(binary.LittleEndian.Uint16(u[4:]))<<32
}

func (u *uint48) put(n uint64) {
	n = min(n, 1<<48-1)
	binary.LittleEndian.PutUint32(u[:4], uint32(n))
	binary.LittleEndian.PutUint16(u[4:], uint16(n>>32))
}

func (u *uint48) millis() int64 { return int64(u.get()) }

func (u *uint48) set(millis int64) { u.put(uint64(max(0, millis))) }

// more is what few keys have: versions that were not used last, and monitors of origins. Numbers, of which 0 is none.
type more struct{ versions, origins uint32 }

// moreOf returns what few keys have, and gives it to the key. The pointer is valid until the next call.
func (s *shard) moreOf(k *key) *more {
	if k.more == 0 {
		k.more = s.more.take()
	}
	return s.more.at(k.more)
}

// releaseMore takes it from the key if there is nothing in it.
func (s *shard) releaseMore(k *key) {
	if k.more != 0 && *s.more.at(k.more) == (more{}) {
		s.more.release(k.more)
		k.more = 0
	}
}

// count is the requests of one key in one month, in this incarnation of the server.
type count struct {
	requests uint64
	recorded uint64 // as the manager has persisted it
	unsent   bool   // it was not reported on this stream as it is
}

// past is the count of an earlier month that the manager has not persisted.
type past struct {
	count

	month month
}

// count counts requests. The months are those of the manager's clock. If the clock was turned back, requests count in the
// month that has begun already.
func (s *shard) count(number uint32, requests uint64, millis int64) {
	k := s.keys.at(number)
	if now := s.calendar.of(millis + s.recorder.offset.Load()); now > k.month() {
		s.roll(number, now)
	}
	if requests > 0 {
		k.requests.put(k.requests.get() + requests)
		k.set(hasUnsent, true)
	}
}

// roll begins a month. The count of the last one is kept until it is persisted.
func (s *shard) roll(number uint32, now month) {
	k := s.keys.at(number)
	delete(s.before, number)
	if c := k.count(); !c.isRecorded() {
		if s.before == nil {
			s.before = map[uint32]past{}
		}
		s.before[number] = past{c, k.month()}
	}
	k.setCount(count{})
	k.setMonth(now)
}

func (c *count) isRecorded() bool { return c.requests == c.recorded }

// take reports whether the count has to be reported, and marks it as reported.
func (c *count) take(whole bool) bool {
	if c.isRecorded() || !c.unsent && !whole {
		return false
	}
	c.unsent = false
	return true
}

// record applies how much the manager has persisted. The message may be older than an earlier one.
func (c *count) record(recorded uint64) { c.recorded = max(c.recorded, min(recorded, c.requests)) }

// reportCounts appends the counts that have to be reported.
func (s *shard) reportCounts(uses []*syncv1.KeyUse, whole bool) []*syncv1.KeyUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, period := month(0), month(0).String() // almost all are of one month
	report := func(number uint32, c *count, in month) {
		if in != last {
			last, period = in, in.String()
		}
		uses = append(uses, &syncv1.KeyUse{
			Key: s.id(number), Group: s.recorder.groups.of(s.keys.at(number).group),
			Period: period, Requests: c.requests, Recorded: c.recorded,
		})
	}
	for number := range s.all {
		if p, ok := s.before[number]; ok && p.take(whole) {
			s.before[number] = p
			report(number, &p.count, p.month)
		}
		k := s.keys.at(number)
		if c := k.count(); c.take(whole) {
			k.setCount(c)
			report(number, &c, k.month())
		}
	}
	return uses
}

// recorded applies how much of a month the manager has persisted.
func (s *shard) recorded(of *name, in month, recorded uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.find(of)
	if number == 0 {
		return
	}
	if k := s.keys.at(number); k.month() == in {
		c := k.count()
		c.record(recorded)
		k.setCount(c)
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
	if c := k.count(); unrecorded || !c.isRecorded() {
		keep = keepUnrecorded
	}
	return k.last.millis() < since-keep.Milliseconds()
}
