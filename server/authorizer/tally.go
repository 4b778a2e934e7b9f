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

// The bounds of the histogram of durations: ten of them from 250 ns to 66 ms, each four times the one before.
const (
	minBound   = 250 * time.Nanosecond
	boundShift = 2
	bounds     = 10
)

const (
	cacheLine    = 64 // bytes
	wordsPerLine = cacheLine / 8
	// shardsPerProcessor makes it unlikely that two processors use the same shard at once.
	shardsPerProcessor = 4
)

// tallies counts the decisions of all integrations, and how long they took. It is a prometheus.Collector.
//
// Every request on every processor writes here. Prometheus' own counters are a few words that all processors share, which
// costs several times as much as soon as there are two; so there are many shards of words. Each request picks one at random,
// and Collect adds them up.
//
// Invariants: mu guards only the list of integrations, which only grows; it is never held while a decision is counted. A
// tally's fields other than words do not change. Each word only grows, on its own: a scrape in the middle of note may see a
// decision without its duration, so that the histogram's count and sum, and the sum of the decisions, may differ by the
// requests that are being counted.
type tallies struct {
	decisions, duration *prometheus.Desc

	mu           sync.Mutex
	integrations []*tally
}

// tally counts the decisions of one integration.
type tally struct {
	integration string
	codes       int
	stride      int             // words from one shard to the next
	shards      uint32          // how many there are
	words       []atomic.Uint64 // of each shard: decisions by code, decisions by duration, and the sum of the durations in nanoseconds
}

func newTallies() *tallies {
	return &tallies{
		decisions: prometheus.NewDesc("keyward_validator_decisions_total",
			"Decisions by integration and code; the code of an allowed request is allowed.", []string{"integration", "code"}, nil),
		duration: prometheus.NewDesc("keyward_validator_decision_duration_seconds",
			"How long decisions took, without reading the request and writing the response.", []string{"integration"}, nil),
	}
}

// of returns the tally of an integration.
func (t *tallies) of(integration string) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.integrations, func(t *tally) bool { return t.integration == integration }); i >= 0 {
		return t.integrations[i]
	}
	codes := len(decision.Codes())
	// At least a cache line between the words of two shards, wherever the first begins.
	stride := (codes+bounds+2+wordsPerLine-1)/wordsPerLine*wordsPerLine + wordsPerLine
	shards := shardsPerProcessor * runtime.GOMAXPROCS(0)
	one := &tally{integration: integration, codes: codes, stride: stride, shards: uint32(shards), words: make([]atomic.Uint64, shards*stride)}
	t.integrations = append(t.integrations, one)
	return one
}

// note counts a decision.
func (t *tally) note(code decision.Code, took time.Duration) {
	shard := t.words[int(rand.Uint32N(t.shards))*t.stride:][:t.stride]
	bucket, bound := 0, minBound
	for bucket < bounds && took > bound {
		bucket, bound = bucket+1, bound<<boundShift
	}
	shard[code].Add(1)
	shard[t.codes+bucket].Add(1)
	shard[t.codes+bounds+1].Add(uint64(max(took, 0)))
}

// sum adds up one word over all shards.
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
	for _, one := range integrations {
		for _, code := range decision.Codes() {
			decisions := float64(one.sum(int(code)))
			to <- prometheus.MustNewConstMetric(t.decisions, prometheus.CounterValue, decisions, one.integration, code.String())
		}
		buckets, count := map[float64]uint64{}, uint64(0)
		for i := range bounds {
			count += one.sum(one.codes + i)
			buckets[(minBound << (boundShift * i)).Seconds()] = count
		}
		count += one.sum(one.codes + bounds)
		nanos := time.Duration(one.sum(one.codes + bounds + 1))
		to <- prometheus.MustNewConstHistogram(t.duration, count, nanos.Seconds(), buckets, one.integration)
	}
}
