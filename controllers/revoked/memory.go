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
	// shardEntries bounds a Secret to 70 KB; each write writes the whole Secret.
	shardEntries = 4096
	// writesPerSecond bounds how often pending entries are written: a thousand deletions are a few writes.
	writesPerSecond = 10
	// writeTimeout bounds one round of writes.
	writeTimeout = 30 * time.Second
	// tidyInterval is how often expired entries are removed.
	tidyInterval = time.Hour
)

// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=list;create;patch;delete

// Memory keeps entries in Secrets of the manager's namespace, which no tenant can reach. Only the leader uses it, and only the
// leader writes the Secrets. It is safe for concurrent use.
//
// mu guards everything below it, and is held while Secrets are read and written, so that no entry counts as kept before it
// is. At most one goroutine writes pending entries: writing is true while there is one. While mu is not held and loaded is
// true:
//   - every fact is in a Secret, with at least this cause and this time, and its id is in the ids of a shard;
//   - no shard is dirty, and none has more than shardEntries ids, unless another release or another leader wrote it;
//   - pending has what is to be kept in addition; then writing is true.
//
// After a failed write loaded is false, and the next caller reads everything again.
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
	facts   map[id]fact // entries that are kept
	pending map[id]fact // entries that are to be kept
	writing bool
	limiter *rate.Limiter

	writers sync.WaitGroup // of goroutines that write; a new one may start before the last one has returned
}

// shard is one Secret.
type shard struct {
	name, version string // of the Secret; empty if there is none yet
	ids           []id
	dirty         bool
}

// Recall returns the cause of the entry of the digest, if there is one.
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

// known returns the entry that is kept, or about to be kept.
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

// Remember keeps the entries. It reports whether all of them are kept: if not, they are being written, and the caller calls it
// again. Entries that have expired already are not kept.
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

// startWriting writes the pending entries in the background, unless that is under way. The caller holds the lock.
func (m *Memory) startWriting(ctx context.Context) {
	if m.writing || len(m.pending) == 0 {
		return
	}
	m.writing = true
	// The write is completed even if the caller's context ends.
	m.writers.Go(func() { m.writePending(context.WithoutCancel(ctx)) })
}

func (m *Memory) writePending(ctx context.Context) {
	log := logf.FromContext(ctx).WithName("revoked")
	for {
		_ = m.limiter.Wait(ctx) // fails only if the context ends
		again, err := m.round(ctx)
		if err != nil {
			failures.Inc()
			log.Error(err, "Revoked keys cannot be stored; it will be tried again. "+
				"Revocations and deletions are enforced, but not complete")
		}
		if !again {
			return
		}
	}
}

// round writes the pending entries once. It reports whether there is more to write.
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

// write adds the pending entries to shards, and writes those. The caller holds the lock, so that no entry counts as kept before
// it is.
func (m *Memory) write(ctx context.Context) error {
	m.addToShards(m.pending)
	for _, s := range m.shards {
		if !s.dirty {
			continue
		}
		if err := m.save(ctx, s); err != nil {
			m.loaded = false // another leader has written, or it is not known whether this write succeeded: read everything again
			return err
		}
	}
	clear(m.pending)
	return nil
}

// addToShards adds the batch to the facts, and new ids to shards that have room.
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

// shardWithRoom returns a shard with room for another id.
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

// Tidy removes expired entries from Secrets in which they are half of all entries or more.
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

// Size returns how many entries are kept, and in how many Secrets.
func (m *Memory) Size() (entries, secrets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.facts), len(m.shards)
}

// NeedLeaderElection is true: only the leader writes the Secrets.
func (m *Memory) NeedLeaderElection() bool { return true }

// Start removes expired entries periodically until the context ends.
func (m *Memory) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := m.Tidy(ctx); err != nil && ctx.Err() == nil {
			logf.FromContext(ctx).WithName("revoked").Error(err,
				"Expired entries of revoked keys cannot be removed; it will be tried again")
		}
	}, tidyInterval)
	return nil
}
