package sinks_test

import (
	"context"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
	"github.com/keyward-dev/keyward/test/killed"
)

// task is what a leader does until it is killed.
type task struct {
	URL, Dir string
	Type     config.Type
}

const (
	crashLogs   = 5
	crashEvents = 600
)

func TestMain(m *testing.M) { os.Exit(killed.Main(m, leader)) }

// TestKilled: leaders are killed as kill -9 does, between a request and the write of the position, and before and after that. A receiver
// that drops what it has ends with each event once, and had them in order.
func TestKilled(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			r, dir := newReceiver(t), t.TempDir()
			at := map[string]int{}
			for round := range 15 {
				point, hit := []string{"after-send", "before-save", "after-save"}[round%3], 1+round%2
				if killed.Run(t, task{r.URL, dir, kind}, point, hit) {
					at[point]++
				}
			}
			if len(at) < 3 {
				t.Errorf("leaders were killed only at %v", at)
			}
			t.Logf("killed: %v", at)
			if killed.Run(t, task{r.URL, dir, kind}, "", 0) {
				t.Fatal("the last leader was killed")
			}
			for n := range crashLogs {
				if got := r.sequences(logName(n)); !slices.Equal(got, upTo(crashEvents)) {
					t.Errorf("%s: %v", logName(n), got)
				}
			}
			if len(r.repeated()) == 0 {
				t.Error("no event was sent twice: nothing was killed where it matters")
			}
		})
	}
}

func logName(n int) string { return "log" + strconv.Itoa(n) }

// fileStore keeps positions in a file, and ends the leader when all is sent.
type fileStore struct {
	store
	path  string
	point *killed.Point
	done  func()
}

func (f *fileStore) Save(ctx context.Context, moved map[string]sinks.Positions, exists func(sink, log string) bool,
) (map[string]sinks.Positions, error) {
	f.point.Here("before-save")
	if _, err := f.store.Save(ctx, moved, exists); err != nil {
		return moved, err
	}
	err := killed.Replace(f.path, f.saved)
	f.point.Here("after-save")
	if f.complete() {
		f.done()
	}
	return nil, err
}

// complete reports whether all is sent.
func (f *fileStore) complete() bool {
	for n := range crashLogs {
		if f.get("test", logName(n)) < crashEvents {
			return false
		}
	}
	return true
}

// hurried is a clock on which timers and tickers are early.
type hurried struct{ clock.RealClock }

func (h hurried) NewTimer(d time.Duration) clock.Timer   { return h.RealClock.NewTimer(d / 100) }
func (h hurried) NewTicker(d time.Duration) clock.Ticker { return h.RealClock.NewTicker(d / 100) }

// leader is the process that is killed.
func leader(of task, point *killed.Point) error {
	all := newLogs()
	for n := range crashLogs {
		all.append(logName(n), crashEvents, noon, "a")
	}
	secrets := filepath.Join(of.Dir, "secrets")
	if err := os.WriteFile(secrets, []byte(secret), 0o600); err != nil {
		return err
	}
	to, err := url.Parse(of.URL)
	if err != nil {
		return err
	}
	sink := &config.Sink{
		Name: "test", Type: of.Type, URL: to, SecretFile: secrets, Groups: labels.Everything(), MaxEvents: 3,
		MaxBytes: 64 << 10, MaxDelay: time.Second, Timeout: 10 * time.Second, Concurrency: 1,
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	if sink.Type == config.CloudEvents {
		sink.Mode = config.Batch
	}
	sending, err := sender.New(sink, clock.RealClock{}, io.Discard)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	positions := &fileStore{store: store{saved: map[string]sinks.Positions{}}, path: filepath.Join(of.Dir, "positions"), point: point, done: cancel}
	if _, err := killed.Read(positions.path, &positions.saved); err != nil {
		return err
	}
	if positions.complete() {
		return nil
	}
	runner := &sinks.Runner{
		Source: all, Store: positions, Sinks: []sinks.Sink{{Sink: sink, Sender: &killed.Sender{Sender: sending, Point: point}}}, Clock: hurried{}, Log: logr.Discard(),
	}
	return runner.Start(ctx)
}
