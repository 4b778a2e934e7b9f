package sinks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

// The environment of a process that sends, and is killed.
const (
	envURL   = "KEYWARD_SINKS_TEST_URL"
	envDir   = "KEYWARD_SINKS_TEST_DIR"
	envPoint = "KEYWARD_SINKS_TEST_POINT"
	envHit   = "KEYWARD_SINKS_TEST_HIT"
	envType  = "KEYWARD_SINKS_TEST_TYPE"
)

const (
	crashLogs   = 5
	crashEvents = 600
)

func TestMain(m *testing.M) {
	if os.Getenv(envURL) != "" {
		if err := leader(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKilled: leaders are killed as kill -9 does, between a request and the write of the position, and before and after that. A receiver
// that drops what it has ends with each event once, and had them in order.
func TestKilled(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			r, dir := newReceiver(t), t.TempDir()
			killed := map[string]int{}
			for round := range 15 {
				point, hit := []string{"after-send", "before-save", "after-save"}[round%3], 1+round%2
				if run(t, r, dir, kind, point, hit) {
					killed[point]++
				}
			}
			if len(killed) < 3 {
				t.Errorf("leaders were killed only at %v", killed)
			}
			t.Logf("killed: %v", killed)
			if run(t, r, dir, kind, "", 0) {
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

// run runs a leader until it has sent everything, and reports whether it was killed before.
func run(t *testing.T, r *receiver, dir string, kind config.Type, point string, hit int) (killed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), envURL+"="+r.URL, envDir+"="+dir, envType+"="+string(kind), envPoint+"="+point, envHit+"="+strconv.Itoa(hit))
	output, err := command.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && ctx.Err() == nil {
			return true
		}
	}
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return false
}

// point kills this process at one of the points, when it is reached for the given time.
type point struct {
	name string
	hit  int
}

func (p *point) here(name string) {
	if name != p.name {
		return
	}
	if p.hit--; p.hit == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

type killedSender struct {
	sinks.Sender
	point *point
}

func (k *killedSender) Send(ctx context.Context, records []sinks.Record) (int, error) {
	rejected, err := k.Sender.Send(ctx, records)
	if err == nil {
		k.point.here("after-send")
	}
	return rejected, err
}

// fileStore keeps positions in a file, and ends the leader when all is sent.
type fileStore struct {
	store
	path  string
	point *point
	done  func()
}

func (f *fileStore) Save(ctx context.Context, moved map[string]sinks.Positions, exists func(sink, log string) bool,
) (map[string]sinks.Positions, error) {
	f.point.here("before-save")
	if _, err := f.store.Save(ctx, moved, exists); err != nil {
		return moved, err
	}
	text, err := json.Marshal(f.saved)
	if err == nil {
		err = os.WriteFile(f.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(f.path+".new", f.path)
	}
	f.point.here("after-save")
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
func leader() error {
	hit, err := strconv.Atoi(os.Getenv(envHit))
	if err != nil {
		return err
	}
	point := &point{os.Getenv(envPoint), hit}
	all := newLogs()
	for n := range crashLogs {
		all.append(logName(n), crashEvents, noon, "a")
	}
	dir := os.Getenv(envDir)
	secrets := filepath.Join(dir, "secrets")
	if err := os.WriteFile(secrets, []byte(secret), 0o600); err != nil {
		return err
	}
	to, err := url.Parse(os.Getenv(envURL))
	if err != nil {
		return err
	}
	sink := &config.Sink{
		Name: "test", Type: config.Type(os.Getenv(envType)), URL: to, SecretFile: secrets, Groups: labels.Everything(), MaxEvents: 3,
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
	positions := &fileStore{store: store{saved: map[string]sinks.Positions{}}, path: filepath.Join(dir, "positions"), point: point, done: cancel}
	switch text, err := os.ReadFile(positions.path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &positions.saved); err != nil {
			return err
		}
	}
	if positions.complete() {
		return nil
	}
	runner := &sinks.Runner{
		Source: all, Store: positions, Sinks: []sinks.Sink{{Sink: sink, Sender: &killedSender{sending, point}}}, Clock: hurried{}, Log: logr.Discard(),
	}
	return runner.Start(ctx)
}
