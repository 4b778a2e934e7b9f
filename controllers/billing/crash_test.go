package billing_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/billing"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
	"github.com/keyward-dev/keyward/test/killed"
)

// task is what a leader does until it is killed: the hour to close, and the receivers.
type task struct {
	Dir   string
	Round int
	URLs  map[config.Type]string
}

// points are the steps at which a leader is killed.
var points = []string{"before-window", "after-window", "before-send", "after-send", "before-acknowledgement", "after-acknowledgement"}

const rounds = 30

func TestMain(m *testing.M) { os.Exit(killed.Main(m, leader)) }

// TestKilled: a leader is killed as kill -9 does at each step, 30 times. Receivers that deduplicate as each engine says end with exactly
// what the ledger has.
func TestKilled(t *testing.T) {
	e, dir := newEngines(t), t.TempDir()
	at := map[string]int{}
	for round := range rounds {
		point := points[round%len(points)]
		hit := 1 + (round/len(points))%3
		if strings.HasSuffix(point, "-window") {
			hit = 1 // a leader closes one window here
		}
		if killed.Run(t, task{dir, round, e.urls()}, point, hit) {
			at[point]++
		}
	}
	t.Logf("killed: %v; dropped as repeated: %v", at, e.repeated())
	for _, point := range points {
		if at[point] == 0 {
			t.Errorf("no leader was killed at %s", point)
		}
	}
	if killed.Run(t, task{dir, rounds, e.urls()}, "", 0) {
		t.Fatal("the last leader was killed")
	}
	total := ledger(rounds)
	for name, sums := range e.totals() {
		for meter, want := range map[string]int64{
			"total_requests": *total.Status.Months[0].Requests, "total_bytes": *total.Status.Months[0].Bytes,
			"overage_requests": *total.Status.Months[0].OverageRequests, "unconfirmed_requests": *total.Status.Months[0].UnconfirmedRequests,
		} {
			if sums[meter] != want {
				t.Errorf("%s has %d %s; the ledger has %d", name, sums[meter], meter, want)
			}
		}
	}
	for name, n := range e.repeated() {
		if n == 0 {
			t.Errorf("%s was sent nothing twice: nothing was killed where it matters", name)
		}
	}
}

// files keeps an outbox in a file.
type files struct {
	path  string
	point *killed.Point
	was   int // windows that waited
}

func (f *files) List(context.Context) ([]*v1alpha1.BillingOutbox, error) {
	o := &v1alpha1.BillingOutbox{}
	if exists, err := killed.Read(f.path, o); !exists || err != nil {
		return nil, err
	}
	f.was = len(o.Spec.Windows)
	return []*v1alpha1.BillingOutbox{o}, nil
}

func (f *files) Get(ctx context.Context, _ string) (*v1alpha1.BillingOutbox, error) {
	all, err := f.List(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

func (f *files) Write(_ context.Context, o *v1alpha1.BillingOutbox) error {
	step := "acknowledgement"
	if len(o.Spec.Windows) > f.was {
		step = "window"
	}
	f.was = len(o.Spec.Windows)
	f.point.Here("before-" + step)
	err := killed.Replace(f.path, o)
	f.point.Here("after-" + step)
	return err
}

func (f *files) Delete(context.Context, *v1alpha1.BillingOutbox) error { return os.Remove(f.path) }

// hurried is a clock of an hour of usage, on which timers and tickers are early.
type hurried struct {
	clock.RealClock
	at time.Time
}

func (h hurried) Now() time.Time                         { return h.at }
func (h hurried) NewTimer(d time.Duration) clock.Timer   { return h.RealClock.NewTimer(d / 1000) }
func (h hurried) NewTicker(d time.Duration) clock.Ticker { return h.RealClock.NewTicker(d / 1000) }
func (h hurried) Since(t time.Time) time.Duration        { return h.at.Sub(t) }
func (h hurried) After(d time.Duration) <-chan time.Time { return h.RealClock.After(d / 1000) }

// leader is the process that is killed. It ends on its own when all receivers have everything.
func leader(of task, point *killed.Point) error {
	at := begin.Add(time.Duration(of.Round+1)*time.Hour + 6*time.Minute)
	clk := hurried{at: at}
	var names []string
	runner := &sinks.Runner{Clock: clk, Log: logr.Discard(), Unmeasured: true}
	for kind, to := range of.URLs {
		sink, sending, err := newSink(kind, to, clocktesting.NewFakePassiveClock(at))
		if err != nil {
			return err
		}
		names = append(names, sink.Name)
		runner.Sinks = append(runner.Sinks, sinks.Sink{Sink: sink, Sender: &killed.Sender{Sender: sending, Point: point}})
	}
	kept := &files{path: filepath.Join(of.Dir, "outbox"), point: point}
	groups := &oneGroup{group: group(), usage: ledger(of.Round)}
	keeper := billing.New(kept, groups, names, clk, logr.Discard())
	runner.Source, runner.Store = keeper, keeper
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- keeper.Start(ctx) }()
	go func() { done <- runner.Start(ctx) }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		all, err := (&files{path: kept.path}).List(ctx)
		if ctx.Err() != nil {
			return errors.New("not everything was sent")
		}
		if err == nil && len(all) == 1 && all[0].Spec.Next > 1 && len(all[0].Spec.Windows) == 0 &&
			all[0].Spec.Periods[0].Closed.TotalRequests == *groups.usage.Status.Months[0].Requests {
			break
		}
	}
	cancel()
	return errors.Join(<-done, <-done)
}

func newSink(kind config.Type, to string, clk clock.PassiveClock) (*config.Sink, sinks.Sender, error) {
	parsed, err := url.Parse(to)
	if err != nil {
		return nil, nil, err
	}
	sink := &config.Sink{
		Name: "to-" + string(kind), Type: kind, URL: parsed, Groups: labels.Everything(), MaxEvents: 3, MaxBytes: 64 << 10,
		Timeout: 10 * time.Second, Concurrency: 1, Values: config.Delta, MeterPrefix: "keyward_",
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	if kind == config.CloudEvents {
		sink.Mode = config.Batch
	}
	sending, err := sender.New(sink, clk, io.Discard)
	return sink, sending, err
}
