package revoked

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

const (
	// shardEntries bounds a Secret to 70 KB, of which each write writes all.
	shardEntries = 4096
	// writesPerSecond bounds how often what has gathered is written: a thousand deletions are a few writes.
	writesPerSecond = 10
	// writeTimeout bounds one round of writes.
	writeTimeout = 30 * time.Second
	// tidyInterval is how often what has expired is looked for.
	tidyInterval = time.Hour
)

// Memory keeps entries in Secrets of the manager's namespace, which no tenant reaches. It is for the leader,
// who alone writes them, and safe for concurrent use.
type Memory struct {
	// Reader reads past the cache.
	Reader client.Reader
	Client client.Client
	// Namespace of the manager.
	Namespace string
	Clock     clock.PassiveClock

	mu      sync.Mutex
	loaded  bool
	shards  []*shard
	facts   map[id]fact // what is kept
	pending map[id]fact // what is to be kept
	writing bool
	limiter *rate.Limiter
}

// shard is one Secret.
type shard struct {
	name, version string // of the object; empty where there is none yet
	ids           []id
	dirty         bool
}

// Recall returns what is known of the digest.
func (m *Memory) Recall(ctx context.Context, digest keyformat.Digest) (cause Cause, known bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.load(ctx); err != nil {
		return 0, false, err
	}
	f, known := m.known(idOf(digest))
	if !known || f.expired(m.Clock.Now()) {
		return 0, false, nil
	}
	return f.cause, true, nil
}

// known is what is kept, or about to be.
func (m *Memory) known(of id) (fact, bool) {
	kept, is := m.facts[of]
	is = is && !kept.expired(m.Clock.Now())
	pending, isPending := m.pending[of]
	switch {
	case is && isPending:
		return kept.with(pending), true
	case isPending:
		return pending, true
	}
	return kept, is
}

// Remember has the entries kept. It reports whether they are: where they are not yet, they are being written,
// and the caller asks again. What would have expired already is not kept.
func (m *Memory) Remember(ctx context.Context, entries ...Entry) (kept bool, err error) {
	if len(entries) == 0 {
		return true, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.load(ctx); err != nil {
		return false, err
	}
	kept = true
	for _, entry := range entries {
		of, f := idOf(entry.Digest), factOf(entry)
		if have, is := m.facts[of]; f.expired(m.Clock.Now()) || is && have.covers(f) {
			continue
		}
		kept = false
		if p, isPending := m.pending[of]; isPending {
			f = f.with(p)
		}
		m.pending[of] = f
	}
	m.startWriting(ctx)
	return kept, nil
}

// work has what waits written in the background, by one writer at a time.
func (m *Memory) startWriting(ctx context.Context) {
	if m.writing || len(m.pending) == 0 {
		return
	}
	m.writing = true
	// What is begun is brought to an end, whatever becomes of the one who asked.
	go m.writePending(context.WithoutCancel(ctx))
}

func (m *Memory) writePending(ctx context.Context) {
	log := logf.FromContext(ctx).WithName("revoked")
	for {
		_ = m.limiter.Wait(ctx) // fails only where the context ends
		again, err := m.round(ctx)
		if err != nil {
			failures.Inc()
			log.Error(err, "Revoked keys cannot be remembered, which is tried again: revocations and deletions are enforced, but not complete")
		}
		if !again {
			return
		}
	}
}

// round writes what waits, once. It reports whether there is more to do.
func (m *Memory) round(ctx context.Context) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err = m.load(ctx); err == nil {
		err = m.write(ctx)
	}
	m.writing = len(m.pending) > 0
	return m.writing, err
}

// write puts what waits into shards, and writes those. The caller holds the lock, so that nobody takes for
// kept what is not yet.
func (m *Memory) write(ctx context.Context) error {
	m.addToShards(m.pending)
	for _, s := range m.shards {
		if !s.dirty {
			continue
		}
		if err := m.save(ctx, s); err != nil {
			m.loaded = false // another has written, or it is not known what was: read all again
			return err
		}
	}
	clear(m.pending)
	return nil
}

// place adds the batch to what is kept, in shards that have room.
func (m *Memory) addToShards(batch map[id]fact) {
	var fresh []id
	for of, f := range batch {
		switch have, is := m.facts[of]; {
		case !is:
			fresh = append(fresh, of)
		case !have.expired(m.Clock.Now()):
			f = f.with(have)
		}
		m.facts[of] = f
	}
	upgraded := len(batch) > len(fresh)
	for _, s := range m.shards {
		if upgraded && !s.dirty && slices.ContainsFunc(s.ids, func(of id) bool { _, is := batch[of]; return is }) {
			s.dirty = true
		}
	}
	for len(fresh) > 0 {
		s := m.shardWithRoom()
		n := min(len(fresh), shardEntries-len(s.ids))
		s.ids = append(s.ids, fresh[:n]...)
		s.dirty = true
		fresh = fresh[n:]
	}
}

// roomy is a shard with room.
func (m *Memory) shardWithRoom() *shard {
	for _, s := range m.shards {
		if len(s.ids) < shardEntries {
			return s
		}
	}
	s := &shard{}
	m.shards = append(m.shards, s)
	return s
}

// Tidy drops what has expired, of Secrets of which that is half or more.
func (m *Memory) Tidy(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.load(ctx); err != nil {
		return err
	}
	now := m.Clock.Now()
	for _, s := range m.shards {
		expired := 0
		for _, of := range s.ids {
			if m.facts[of].expired(now) {
				expired++
			}
		}
		if expired == 0 || expired < len(s.ids)/2 {
			continue
		}
		if err := m.save(ctx, s); err != nil {
			m.loaded = false
			return err
		}
	}
	m.shards = slices.DeleteFunc(m.shards, func(s *shard) bool { return s.name == "" })
	return nil
}

// Size is how many entries are kept, and in how many Secrets.
func (m *Memory) Size() (entries, secrets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.facts), len(m.shards)
}

// NeedLeaderElection is true: only the leader remembers.
func (m *Memory) NeedLeaderElection() bool { return true }

// Start drops what has expired from time to time, until the context ends.
func (m *Memory) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := m.Tidy(ctx); err != nil && ctx.Err() == nil {
			logf.FromContext(ctx).WithName("revoked").Error(err, "What has expired of the revoked keys is dropped later")
		}
	}, tidyInterval)
	return nil
}
