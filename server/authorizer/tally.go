package authorizer

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/server/decision"
)

// The bounds of durations: 250 ns, and ten of them, each four times the one before, to 66 ms.
const (
	leastBound = 250 * time.Nanosecond
	boundShift = 2
	bounds     = 10
)

const (
	cacheLine    = 64 // bytes
	wordsPerLine = cacheLine / 8
	// shardsPerProcessor makes it unlikely that two processors want the same one at once.
	shardsPerProcessor = 4
)

// tallies count the decisions of all doors, and how long they took. It is a prometheus.Collector.
//
// Every request of every processor writes here. Prometheus' own counters are a few words that all
// of them share, which cost several times as much as soon as there are two; so there are many
// sets of words, of which each request takes any, and which are added up when they are asked for.
type tallies struct {
	decisions, duration *prometheus.Desc

	mu           sync.Mutex
	integrations []*tally
}

// tally is that of one door.
type tally struct {
	integration string
	codes       int
	stride      int             // words from one shard to the next
	shards      uint32          // how many
	words       []atomic.Uint64 // of each shard: decisions by code, by duration, and nanoseconds in all
}

func newTallies() *tallies {
	return &tallies{
		decisions: prometheus.NewDesc("keyward_validator_decisions_total", "Decisions by door and code; the code of what was let through is allowed.", []string{"door", "code"}, nil),
		duration:  prometheus.NewDesc("keyward_validator_decision_duration_seconds", "How long deciding took, without reading the request and writing the answer.", []string{"door"}, nil),
	}
}

// of returns the tally of a door.
func (t *tallies) of(integration string) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.integrations, func(d *tally) bool { return d.integration == integration }); i >= 0 {
		return t.integrations[i]
	}
	codes := len(decision.Codes())
	// A line of its own between two shards, wherever the first begins.
	stride := (codes+bounds+2+wordsPerLine-1)/wordsPerLine*wordsPerLine + wordsPerLine
	shards := shardsPerProcessor * runtime.GOMAXPROCS(0)
	d := &tally{integration: integration, codes: codes, stride: stride, shards: uint32(shards), words: make([]atomic.Uint64, shards*stride)}
	t.integrations = append(t.integrations, d)
	return d
}

// note counts a decision.
func (t *tally) note(code decision.Code, took time.Duration) {
	shard := t.words[int(rand.Uint32N(t.shards))*t.stride:][:t.stride]
	bucket, bound := 0, leastBound
	for bucket < bounds && took > bound {
		bucket, bound = bucket+1, bound<<boundShift
	}
	shard[code].Add(1)
	shard[t.codes+bucket].Add(1)
	shard[t.codes+bounds+1].Add(uint64(max(took, 0)))
}

// sum adds up a word of all shards.
func (t *tally) sum(word int) uint64 {
	sum := uint64(0)
	for at := word; at < len(t.words); at += t.stride {
		sum += t.words[at].Load()
	}
	return sum
}

// Describe implements prometheus.Collector.
func (t *tallies) Describe(to chan<- *prometheus.Desc) {
	to <- t.decisions
	to <- t.duration
}

// Collect implements prometheus.Collector.
func (t *tallies) Collect(to chan<- prometheus.Metric) {
	t.mu.Lock()
	integrations := slices.Clone(t.integrations)
	t.mu.Unlock()
	for _, d := range integrations {
		for _, code := range decision.Codes() {
			to <- prometheus.MustNewConstMetric(t.decisions, prometheus.CounterValue, float64(d.sum(int(code))), d.integration, code.String())
		}
		buckets, count := map[float64]uint64{}, uint64(0)
		for i := range bounds {
			count += d.sum(d.codes + i)
			buckets[(leastBound << (boundShift * i)).Seconds()] = count
		}
		count += d.sum(d.codes + bounds)
		nanos := time.Duration(d.sum(d.codes + bounds + 1))
		to <- prometheus.MustNewConstHistogram(t.duration, count, nanos.Seconds(), buckets, d.integration)
	}
}
