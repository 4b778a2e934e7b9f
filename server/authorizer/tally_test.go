package authorizer

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/server/decision"
)

// TestTalliesEqualPrometheusMetrics: the metrics are the same as those of Prometheus' own counters and histograms.
func TestTalliesEqualPrometheusMetrics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counters := prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_validator_decisions_total", Help: "Decisions by integration and code; the code of an allowed request is allowed.",
		}, []string{"integration", "code"})
		histogram := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "keyward_validator_decision_duration_seconds",
			Help:    "How long decisions took, without reading the request and writing the response.",
			Buckets: prometheus.ExponentialBuckets(250e-9, 4, 10),
		}, []string{"integration"})
		atBounds := rapid.SampledFrom([]int64{0, 250, 251, 999, 1000, 1001, 65_536_000, 65_536_001})
		tallies := newTallies()
		for _, code := range decision.Codes() {
			counters.WithLabelValues("a", code.String())
			tallies.of("a")
		}
		histogram.WithLabelValues("a")
		for _, took := range rapid.SliceOf(rapid.OneOf(atBounds, rapid.Int64Range(0, 1e9))).Draw(t, "took") {
			code := rapid.SampledFrom(decision.Codes()).Draw(t, "code")
			took := time.Duration(took)
			tallies.of("a").note(code, took)
			counters.WithLabelValues("a", code.String()).Inc()
			histogram.WithLabelValues("a").Observe(took.Seconds())
		}
		got, want := prometheus.NewPedanticRegistry(), prometheus.NewRegistry()
		got.MustRegister(tallies)
		want.MustRegister(counters, histogram)
		if one, other := exposed(t, got), exposed(t, want); one != other {
			t.Fatalf("got\n%s\nwant\n%s", one, other)
		}
	})
}

// exposed returns the metrics of a registry without the time of their creation.
func exposed(t *rapid.T, registry *prometheus.Registry) string {
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if c := metric.GetCounter(); c != nil {
				c.CreatedTimestamp = nil
			}
			if h := metric.GetHistogram(); h != nil {
				h.CreatedTimestamp = nil
				h.SampleSum = proto.Float64(math.Round(h.GetSampleSum() * 1e9)) // in nanoseconds
			}
			text.WriteString(metric.String() + "\n")
		}
	}
	return text.String()
}

// TestNoDecisionIsLost while many goroutines count and some collect.
func TestNoDecisionIsLost(t *testing.T) {
	tallies := newTallies()
	registry := prometheus.NewRegistry()
	registry.MustRegister(tallies)
	const each = 2000
	var counting sync.WaitGroup
	for range 8 {
		counting.Go(func() {
			d := tallies.of("a")
			for range each {
				d.note(decision.KeyUnknown, time.Microsecond)
			}
			if _, err := registry.Gather(); err != nil {
				t.Error(err)
			}
		})
	}
	counting.Wait()
	if got := tallies.of("a").sum(int(decision.KeyUnknown)); got != 8*each {
		t.Errorf("%d of %d", got, 8*each)
	}
	if n := testutil.CollectAndCount(tallies); n != len(decision.Codes())+1 {
		t.Errorf("%d series of one integration", n)
	}
}

func BenchmarkTally(b *testing.B) {
	d := newTallies().of("a")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.note(decision.Allowed, time.Microsecond)
		}
	})
}
