package scrape_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/controllers/scrape"
)

type level struct{ height float64 }

var heightDesc = prometheus.NewDesc("height", "How high it is.", nil, nil)

func newCurrent() *scrape.Current[level] {
	return scrape.NewCurrent(func(l *level, all chan<- prometheus.Metric) { scrape.Gauges(all)(heightDesc, l.height) }, heightDesc)
}

func expect(t *testing.T, c prometheus.Collector, want string) {
	t.Helper()
	if want != "" {
		want = "# HELP height How high it is.\n# TYPE height gauge\nheight " + want + "\n"
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestCurrent: metrics are those of the last one that was set, and there are none when it has ended. An earlier one may end later.
func TestCurrent(t *testing.T) {
	c := newCurrent()
	expect(t, c, "")
	endFirst := c.Set(&level{1})
	expect(t, c, "1")
	endSecond := c.Set(&level{2})
	expect(t, c, "2")
	endFirst()
	expect(t, c, "2")
	endSecond()
	expect(t, c, "")
}

// TestHold: metrics are there until the context ends.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCurrent()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Hold(ctx, &level{1}) }()
		synctest.Wait()
		expect(t, c, "1")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		expect(t, c, "")
	})
}

// TestDescribe: a registry knows the metrics before there are any, and refuses a second collector of the same.
func TestDescribe(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(newCurrent()); err != nil {
		t.Fatal(err)
	}
	if err := registry.Register(newCurrent()); err == nil {
		t.Error("the same metrics can be registered twice")
	}
}
