package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/labels"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// arrived is what a receiver reads of an event.
type arrived struct {
	ID       string `json:"id"`
	Log      string `json:"log"`
	Sequence uint64 `json:"sequence"`
}

// receiver is a real server. It checks that the events of each log arrive in order, apart from those that it has already.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	requests int
	largest  int // bytes of a request
	events   []arrived
	seen     map[string]int    // how often each event was taken
	last     map[string]uint64 // the last sequence of each log
	// answer returns a status for events, or 0 to take them.
	answer func(w http.ResponseWriter, q *http.Request, events []arrived) int
	// lose reports whether the response is lost after the events were taken.
	lose func() bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, seen: map[string]int{}, last: map[string]uint64{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender has given up
	}
	var events []arrived
	if bytes.HasPrefix(body, []byte("[")) {
		err = json.Unmarshal(body, &events)
	} else {
		events = make([]arrived, 1)
		err = json.Unmarshal(body, &events[0])
	}
	if err != nil {
		r.t.Errorf("%v: %s", err, body)
	}
	r.mu.Lock()
	r.requests++
	r.largest = max(r.largest, len(body))
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		if status := answer(w, q, events); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lose != nil && r.lose() {
		defer panic(http.ErrAbortHandler)
	}
	for _, event := range events {
		if r.seen[event.ID]++; r.seen[event.ID] > 1 {
			continue // as a receiver does that deduplicates
		}
		if event.Sequence <= r.last[event.Log] {
			r.t.Errorf("%d of %s arrives after %d", event.Sequence, event.Log, r.last[event.Log])
		}
		r.last[event.Log] = event.Sequence
		r.events = append(r.events, event)
	}
}

func (r *receiver) set(answer func(w http.ResponseWriter, q *http.Request, events []arrived) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) status(status int) {
	r.set(func(http.ResponseWriter, *http.Request, []arrived) int { return status })
}

// count returns how many different events have arrived, and how many requests.
func (r *receiver) count() (events, requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events), r.requests
}

// sequences returns what arrived of a log.
func (r *receiver) sequences(log string) (all []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events {
		if event.Log == log {
			all = append(all, event.Sequence)
		}
	}
	return all
}

// repeated returns the events that were taken more than once.
func (r *receiver) repeated() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, times := range r.seen {
		if times > 1 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// world is a Runner with what it needs.
type world struct {
	*WithT
	t      *testing.T
	logs   *logs
	store  *store
	clock  *clocktesting.FakeClock
	random func() float64
	sinks  []sinks.Sink

	calm   bool // time passes only while each sink waits
	logged syncBuffer
	stop   func()
	runner *sinks.Runner // after start
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) add(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.WriteString(text + "\n")
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(t *testing.T) *world {
	w := &world{WithT: NewWithT(t), t: t, logs: newLogs(), store: newStore(), clock: clocktesting.NewFakeClock(noon),
		random: func() float64 { return 1 }}
	w.SetDefaultEventuallyTimeout(60 * time.Second)
	w.SetDefaultEventuallyPollingInterval(2 * time.Millisecond)
	return w
}

// sink returns the configuration of a sink that sends to a receiver. Its name is different in each test, because metrics are not.
func (w *world) sink(r *receiver, kind config.Type, change func(*config.Sink)) *config.Sink {
	w.t.Helper()
	to, err := url.Parse(r.URL + "/hook/TOKEN")
	w.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(w.t.TempDir(), "secrets")
	w.Expect(os.WriteFile(file, []byte(secret), 0o600)).To(Succeed())
	s := &config.Sink{
		Name: strings.ToLower(w.t.Name()) + fmt.Sprint(len(w.sinks)), Type: kind, URL: to, SecretFile: file, Groups: labels.Everything(), MaxEvents: 10,
		MaxBytes: 64 << 10, MaxDelay: time.Second, Timeout: 10 * time.Second, Concurrency: 1, Mode: config.Batch,
		AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	if kind == config.Webhook {
		s.Mode, s.Concurrency = "", 4
	}
	if change != nil {
		change(s)
	}
	w.sinks = append(w.sinks, sinks.Sink{Sink: s})
	return s
}

// start runs the sinks until the end of the test, or until stop is called.
func (w *world) start() {
	w.t.Helper()
	all := slices.Clone(w.sinks)
	for i := range all {
		if all[i].Sender == nil {
			to, err := sender.New(all[i].Sink, w.clock, io.Discard)
			w.Expect(err).NotTo(HaveOccurred())
			all[i].Sender = to
		}
	}
	runner := &sinks.Runner{
		Source: w.logs, Store: w.store, Sinks: all, Clock: w.clock, Random: w.random,
		Log: funcr.New(func(prefix, args string) { w.logged.add(prefix + " " + args) }, funcr.Options{}),
	}
	w.runner = runner
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := runner.Start(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(w.stop)
}

// pass lets time pass in steps until something is true.
func (w *world) pass(step time.Duration, until func() bool) {
	w.t.Helper()
	w.Eventually(func() bool {
		if until() {
			return true
		}
		if !w.calm || w.clock.Waiters() > len(w.sinks) { // what saves the positions waits, too
			w.clock.Step(step)
		}
		return false
	}).Should(BeTrue(), "log: %s", &w.logged)
}

// arrive lets time pass until a number of events has arrived.
func (w *world) arrive(r *receiver, n int) {
	w.t.Helper()
	w.pass(time.Second, func() bool { events, _ := r.count(); return events >= n })
	events, _ := r.count()
	w.Expect(events).To(Equal(n))
}

// during lets a span of time pass.
func (w *world) during(span, step time.Duration) {
	w.t.Helper()
	end := w.clock.Now().Add(span)
	w.pass(step, func() bool { return !w.clock.Now().Before(end) })
}

// delivered returns how many events a sink has delivered, as its metric says, which tests of one process share.
func (w *world) delivered(sink string) float64 {
	w.t.Helper()
	return max(0, w.metric("keyward_sink_events_total", "delivered", sink))
}

// metric returns the value of a series of a sink, or -1 if there is none.
func (w *world) metric(name string, labels ...string) float64 {
	w.t.Helper()
	families, err := metrics.Registry.(prometheus.Gatherer).Gather()
	w.Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() { // in the order of their names
				values = append(values, label.GetValue())
			}
			if slices.Equal(values, labels) {
				return value(m)
			}
		}
	}
	return -1
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}
