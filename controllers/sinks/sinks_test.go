package sinks_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

func upTo(n uint64) (all []uint64) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// TestEverythingArrivesInOrder: with each kind of request, each event once, with no request larger than it may be.
func TestEverythingArrivesInOrder(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			w, r := newWorld(t), newReceiver(t)
			w.sink(r, kind, func(s *config.Sink) { s.MaxBytes = 300 })
			for n := range 20 {
				w.logs.append(fmt.Sprintf("log%02d", n), 15, noon, "a")
			}
			w.start()
			w.arrive(r, 300)
			w.logs.append("log00", 5, w.clock.Now(), "a")
			w.logs.append("late", 250, w.clock.Now(), "a")
			w.arrive(r, 555)
			w.Expect(r.sequences("log00")).To(Equal(upTo(20)))
			w.Expect(r.sequences("late")).To(Equal(upTo(250)))
			w.Expect(r.repeated()).To(BeEmpty())
			w.Expect(r.largest).To(BeNumerically("<=", 301)) // with both brackets
			w.pass(time.Second, func() bool { return w.metric("keyward_sink_lag_seconds", w.sinks[0].Name) == 0 })
			w.Expect(w.metric("keyward_sink_events_total", "delivered", w.sinks[0].Name)).To(Equal(555.0))
		})
	}
}

// TestReceiverIsUnreachableForAnHour: it gets everything, and is not asked all the time meanwhile.
func TestReceiverIsUnreachableForAnHour(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			w, r := newWorld(t), newReceiver(t)
			name := w.sink(r, kind, nil).Name
			w.logs.append("acme", 3, noon, "a")
			w.calm = true
			w.start()
			w.arrive(r, 3)
			_, before := r.count()
			r.status(http.StatusServiceUnavailable)
			for minute := range 60 {
				w.logs.append("acme", 2, w.clock.Now(), "a")
				w.logs.append(fmt.Sprintf("log%d", minute), 1, w.clock.Now(), "a")
				w.during(time.Minute, 5*time.Second)
			}
			events, requests := r.count()
			w.Expect(events).To(Equal(3))
			w.Expect(requests - before).To(And(BeNumerically(">=", 5), BeNumerically("<=", 60)))
			w.Expect(w.metric("keyward_sink_lag_seconds", name)).To(BeNumerically("~", 3600, 120))
			r.status(0)
			w.arrive(r, 183)
			w.Expect(r.sequences("acme")).To(Equal(upTo(123)))
			w.Expect(r.repeated()).To(BeEmpty())
			w.pass(time.Second, func() bool { return w.metric("keyward_sink_lag_seconds", name) == 0 })
			w.Expect(w.logged.String()).To(And(ContainSubstring("the receiver answers 503"), ContainSubstring("Events are sent again")))
			w.Expect(strings.Count(w.logged.String(), "Cannot send events")).To(Equal(1), "it is logged once")
		})
	}
}

// TestNothingPassesARefusedEvent: also if the machine stands still, or its clock is set, between the refusal and the next event of that log.
func TestNothingPassesARefusedEvent(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			w, r := newWorld(t), newReceiver(t)
			w.sink(r, kind, nil)
			w.random = func() float64 { // a pause begins, and is over
				w.clock.Step(10 * time.Second)
				return 1
			}
			refusals := 0
			r.set(func(_ http.ResponseWriter, _ *http.Request, events []arrived) int {
				if !slices.ContainsFunc(events, func(e arrived) bool { return e.Sequence == 3 }) || len(events) == 1 && refusals == 3 {
					return 0
				}
				if len(events) == 1 {
					refusals++
				}
				return http.StatusBadRequest
			})
			w.logs.append("acme", 10, noon, "a")
			w.start()
			w.arrive(r, 10)
			w.Expect(r.sequences("acme")).To(Equal(upTo(10)))
		})
	}
}

// TestUnreliableReceiver: regardless of what it answers, and also if it takes events and its response is lost, it ends with each event once and in
// order.
func TestUnreliableReceiver(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			w, r := newWorld(t), newReceiver(t)
			w.sink(r, kind, nil)
			var n, lost atomic.Int32
			statuses := []int{0, 500, 0, 429, 0, 301, 502, 0, 401, 400, 0, 408, 0, 413, 504}
			r.set(func(http.ResponseWriter, *http.Request, []arrived) int { return statuses[int(n.Add(1))%len(statuses)] })
			r.lose = func() bool { return lost.Add(1)%5 == 0 }
			for n := range 6 {
				w.logs.append(fmt.Sprintf("log%d", n), 40, noon, "a")
			}
			w.start()
			// Pauses grow to minutes, and a step may take long on a machine that is busy.
			w.pass(10*time.Second, func() bool { events, _ := r.count(); return events == 240 })
			for n := range 6 {
				w.Expect(r.sequences(fmt.Sprintf("log%d", n))).To(Equal(upTo(40)))
			}
			w.Expect(r.repeated()).NotTo(BeEmpty(), "no response was lost")
		})
	}
}

// TestThreeDays: what is older is given up, and counted; what is not arrives when the receiver is back.
func TestThreeDays(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.CloudEvents, nil).Name
	r.status(http.StatusNotFound) // also what the operator is to correct
	for hour := range 100 {
		w.logs.append("acme", 1, noon.Add(time.Duration(hour)*time.Hour), "a")
	}
	w.calm = true
	w.start()
	w.during(100*time.Hour, 5*time.Minute)
	r.status(0)
	w.pass(time.Minute, func() bool { events, _ := r.count(); return events > 0 && slices.Contains(r.sequences("acme"), 100) })
	got := r.sequences("acme")
	w.Expect(got[0]).To(BeNumerically("~", 29, 2), "100 hours less three days")
	w.Expect(got).To(Equal(upTo(100)[got[0]-1:]))
	w.Expect(w.metric("keyward_sink_events_total", "expired", name)).To(Equal(float64(got[0] - 1)))
}

// TestOldEventsAreNotGivenUp: a sink that is new sends what is in the log, also after a first failure.
func TestOldEventsAreNotGivenUp(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.CloudEvents, nil)
	w.logs.append("acme", 30, noon.Add(-30*24*time.Hour), "a")
	r.status(http.StatusInternalServerError)
	w.start()
	w.during(time.Hour, 10*time.Second)
	r.status(0)
	w.arrive(r, 30)
}

// TestRefusedEvents: an event that the receiver refuses waits alone with those that follow it in its log, and is given up after an hour.
func TestRefusedEvents(t *testing.T) {
	for _, kind := range []config.Type{config.Webhook, config.CloudEvents} {
		t.Run(string(kind), func(t *testing.T) {
			w, r := newWorld(t), newReceiver(t)
			name := w.sink(r, kind, nil).Name
			r.set(func(_ http.ResponseWriter, _ *http.Request, events []arrived) int {
				for _, event := range events {
					if event.ID == "bad/3" {
						return http.StatusBadRequest
					}
				}
				return 0
			})
			w.logs.append("good", 50, noon, "a")
			w.logs.append("bad", 6, noon, "a")
			w.logs.append("other", 50, noon, "a")
			w.calm = true
			w.start()
			w.arrive(r, 102)
			w.Expect(r.sequences("bad")).To(Equal(upTo(2)))
			w.during(30*time.Minute, 5*time.Second)
			w.logs.append("good", 1, w.clock.Now(), "a")
			w.pass(time.Second, func() bool { events, _ := r.count(); return events == 103 })
			w.pass(5*time.Second, func() bool { events, _ := r.count(); return events == 106 })
			w.Expect(w.clock.Now()).To(BeTemporally(">", noon.Add(time.Hour)))
			w.Expect(r.sequences("bad")).To(Equal([]uint64{1, 2, 4, 5, 6}))
			w.Expect(w.metric("keyward_sink_events_total", "refused", name)).To(Equal(1.0))
			w.Expect(w.logged.String()).To(ContainSubstring("Gave up an event that the receiver refuses"))
		})
	}
}

// TestAReceiverThatRefusesEverythingIsLeftAlone: it is wrong in itself, and would otherwise be asked for each log.
func TestAReceiverThatRefusesEverythingIsLeftAlone(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.CloudEvents, nil)
	r.status(http.StatusUnprocessableEntity)
	for n := range 500 {
		w.logs.append(fmt.Sprintf("log%03d", n), 2, noon, "a")
	}
	w.start()
	w.during(30*time.Minute, 2*time.Second)
	_, requests := r.count()
	w.Expect(requests).To(BeNumerically("<=", 100))
	r.status(0)
	w.arrive(r, 1000)
}

// TestRetryAfter: a receiver that says when is not asked before.
func TestRetryAfter(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.Webhook, nil)
	r.set(func(rw http.ResponseWriter, _ *http.Request, _ []arrived) int {
		rw.Header().Set("Retry-After", "1800")
		return http.StatusTooManyRequests
	})
	w.logs.append("acme", 1, noon, "a")
	w.start()
	w.pass(time.Second, func() bool { _, requests := r.count(); return requests == 1 })
	w.during(29*time.Minute, 10*time.Second)
	_, requests := r.count()
	w.Expect(requests).To(Equal(1))
	r.status(0)
	w.arrive(r, 1)
}

// TestARedirectIsNotFollowed: events wait until the URL is corrected.
func TestARedirectIsNotFollowed(t *testing.T) {
	w, r, elsewhere := newWorld(t), newReceiver(t), newReceiver(t)
	w.sink(r, config.Webhook, nil)
	r.set(func(rw http.ResponseWriter, _ *http.Request, _ []arrived) int {
		rw.Header().Set("Location", elsewhere.URL)
		return http.StatusPermanentRedirect
	})
	w.logs.append("acme", 1, noon, "a")
	w.start()
	w.pass(time.Second, func() bool { return strings.Contains(w.logged.String(), "which is not followed") })
	w.during(time.Minute, time.Second)
	_, requests := elsewhere.count()
	w.Expect(requests).To(BeZero())
	w.Eventually(func() float64 { return w.metric("keyward_sink_failures_total", "redirect", w.sinks[0].Name) }).Should(BeNumerically(">", 0))
	r.status(0)
	w.arrive(r, 1)
}

// TestASlowReceiverDelaysNoOther: while it does not answer, other sinks go on, and what is appended waits in the log.
func TestASlowReceiverDelaysNoOther(t *testing.T) {
	w, slow, fast := newWorld(t), newReceiver(t), newReceiver(t)
	w.sink(slow, config.CloudEvents, func(s *config.Sink) { s.Timeout = time.Minute })
	w.sink(fast, config.CloudEvents, nil)
	release, asked := make(chan struct{}), make(chan struct{}, 1)
	slow.set(func(http.ResponseWriter, *http.Request, []arrived) int {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
		return 0
	})
	w.logs.append("acme", 5, noon, "a")
	w.start()
	<-asked
	w.arrive(fast, 5)
	w.logs.append("acme", 2000, w.clock.Now(), "a")
	w.arrive(fast, 2005)
	w.Expect(w.metric("keyward_sink_lag_seconds", w.sinks[0].Name)).To(BeNumerically(">", 0))
	close(release)
	w.arrive(slow, 2005)
}

// TestFilters: types, Groups and times.
func TestFilters(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.CloudEvents, func(s *config.Sink) {
		s.Events, s.NotBefore = []string{"key.*"}, noon
		s.Groups = labels.SelectorFromSet(labels.Set{"name": "acme"})
	}).Name
	w.logs.append("acme", 1500, noon, "group.edited")
	w.logs.append("acme", 2, noon.Add(-time.Second), "key.rotated")
	w.logs.append("acme", 2, noon, "key.rotated")
	w.logs.append("acme", 3, noon, "group.edited")
	w.logs.append("other", 5, noon, "key.rotated")
	w.start()
	w.arrive(r, 2)
	w.Expect(r.sequences("acme")).To(Equal([]uint64{1503, 1504}))
	// What is not for the sink is done with, too.
	w.pass(time.Second, func() bool { return w.store.get(name, "acme") == 1507 })
	w.Expect(w.store.get(name, "other")).To(BeZero())
	w.Expect(w.metric("keyward_sink_lag_seconds", name)).To(Equal(0.0))
}

// TestTheLastEventsOfAGroup: its deletion is one, after which its labels are not known.
func TestTheLastEventsOfAGroup(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.CloudEvents, func(s *config.Sink) { s.Groups = labels.SelectorFromSet(labels.Set{"name": "acme"}) }).Name
	w.logs.append("acme", 1, noon, "a")
	w.logs.append("other", 1, noon, "a")
	delivered := w.delivered(name)
	w.start()
	w.arrive(r, 1)
	w.pass(time.Second, func() bool { return w.delivered(name) == delivered+1 }) // and its response is read
	w.stop()
	w.Expect(w.store.get(name, "acme")).To(Equal(uint64(1)))
	for _, log := range []string{"acme", "other"} {
		w.logs.append(log, 1, noon, "deleted")
		w.logs.mu.Lock()
		w.logs.logs[log].labels, w.logs.logs[log].orphaned = nil, true
		w.logs.mu.Unlock()
	}
	w.start()
	w.arrive(r, 2)
	w.Expect(r.sequences("acme")).To(Equal(upTo(2)))
	w.logs.append("acme", 1, noon, "deleted")
	w.arrive(r, 3)
}

// TestRestart: the next leader goes on where the last one ended, and writes nothing while nothing happens.
func TestRestart(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.Webhook, nil).Name
	w.logs.append("acme", 12, noon, "a")
	w.logs.append("gone", 1, noon, "a")
	delivered := w.delivered(name)
	w.start()
	w.arrive(r, 13)
	w.pass(time.Second, func() bool { return w.delivered(name) == delivered+13 }) // and all responses are read
	w.stop()
	w.Expect(w.store.get(name, "acme")).To(Equal(uint64(12)))
	w.logs.remove("gone")
	w.logs.append("acme", 2, w.clock.Now(), "a")
	w.start()
	w.arrive(r, 15)
	w.pass(time.Second, func() bool { return w.store.get(name, "acme") == 14 })
	w.Expect(w.store.get(name, "gone")).To(BeZero(), "a log that has gone")
	writes := w.store.count()
	w.during(10*time.Minute, 5*time.Second)
	w.Expect(w.store.count()).To(Equal(writes))
	w.Expect(r.repeated()).To(BeEmpty())
}

// TestPositionsAreWrittenSeldom: at most once in three seconds, however much is sent.
func TestPositionsAreWrittenSeldom(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.CloudEvents, func(s *config.Sink) { s.MaxDelay = 0 })
	w.start()
	for n := range 60 {
		w.logs.append("acme", 3, w.clock.Now(), "a")
		w.arrive(r, 3*(n+1))
	}
	passed := w.clock.Now().Sub(noon)
	w.stop()
	w.Expect(w.store.count()).To(BeNumerically("<=", int(passed/(3*time.Second))+2))
}

// TestStoreIsUnreachable: events are sent meanwhile; nothing is sent before it is known from where.
func TestStoreIsUnreachable(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.Webhook, nil).Name
	w.logs.append("acme", 3, noon, "a")
	w.store.fail(true)
	w.start()
	w.during(time.Minute, time.Second)
	_, requests := r.count()
	w.Expect(requests).To(BeZero())
	w.store.fail(false)
	w.arrive(r, 3)
	w.pass(time.Second, func() bool { return w.store.get(name, "acme") == 3 })
	w.store.fail(true)
	w.logs.append("acme", 3, w.clock.Now(), "a")
	w.arrive(r, 6)
	w.pass(time.Second, func() bool { return strings.Contains(w.logged.String(), "Cannot persist the positions") })
	w.store.fail(false)
	w.pass(time.Second, func() bool { return w.store.get(name, "acme") == 6 })
}

// TestTrimmedLog: what the log has deleted before it could be sent is counted, and the rest is sent. A new sink has lost nothing.
func TestTrimmedLog(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.Webhook, nil).Name
	w.logs.append("acme", 10, noon, "a")
	w.logs.trim("acme", 4)
	w.start()
	w.arrive(r, 6)
	w.Expect(w.metric("keyward_sink_events_total", "trimmed", name)).To(Equal(0.0))
	r.status(http.StatusBadGateway)
	w.logs.append("acme", 10, w.clock.Now(), "a")
	w.pass(time.Second, func() bool { _, requests := r.count(); return requests > 6 })
	w.logs.trim("acme", 15)
	r.status(0)
	w.arrive(r, 11)
	w.Expect(r.sequences("acme")[6:]).To(Equal([]uint64{16, 17, 18, 19, 20}))
	w.Expect(w.metric("keyward_sink_events_total", "trimmed", name)).To(Equal(5.0))
}

// TestLogWithoutEvents: nobody waits for events of a log that has gone.
func TestLogWithoutEvents(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.Webhook, nil).Name
	w.logs.append("acme", 10, noon, "a")
	w.logs.trim("acme", 10)
	w.start()
	w.pass(time.Second, func() bool { return w.store.get(name, "acme") == 10 })
	w.Expect(w.metric("keyward_sink_lag_seconds", name)).To(Equal(0.0))
	w.Expect(w.metric("keyward_sink_events_total", "trimmed", name)).To(Equal(0.0))
	w.logs.append("acme", 2, w.clock.Now(), "a")
	w.arrive(r, 2)
}

// TestRestoredLog: a log that ends before the position comes from a backup. What is appended to it is new.
func TestRestoredLog(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.Webhook, nil)
	w.logs.append("acme", 10, noon, "a")
	w.calm = true
	w.start()
	w.arrive(r, 10)
	w.logs.mu.Lock()
	w.logs.logs["acme"].records = w.logs.logs["acme"].records[:5]
	w.logs.mu.Unlock()
	w.during(time.Minute, time.Second) // it is seen
	r.mu.Lock()
	r.last["acme"] = 5
	clear(r.seen)
	r.mu.Unlock()
	w.logs.append("acme", 1, w.clock.Now(), "a")
	w.arrive(r, 11)
	w.Expect(r.sequences("acme")[10]).To(Equal(uint64(6)))
}

// TestNothingIsSentAfterTheLeaseIsLost: what is under way is ended, and nothing else begins.
func TestNothingIsSentAfterTheLeaseIsLost(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.Webhook, func(s *config.Sink) { s.Timeout = time.Minute })
	asked := make(chan struct{}, 100)
	r.set(func(_ http.ResponseWriter, q *http.Request, _ []arrived) int {
		asked <- struct{}{}
		<-q.Context().Done()
		return http.StatusServiceUnavailable
	})
	w.logs.append("acme", 10, noon, "a")
	w.start()
	<-asked
	w.stop() // returns although the receiver does not answer
	w.logs.append("acme", 10, noon, "a")
	w.during(time.Hour, time.Minute)
	_, requests := r.count()
	w.Expect(requests).To(Equal(1))
	w.Expect(w.metric("keyward_sink_lag_seconds", w.sinks[0].Name)).To(Equal(-1.0), "the next leader has it")
}

// TestSecretsAreNotLogged: nor does a metric have one, regardless of what fails.
func TestSecretsAreNotLogged(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	headers := filepath.Join(t.TempDir(), "headers")
	w.Expect(os.WriteFile(headers, []byte("Authorization: Bearer TOKEN"), 0o600)).To(Succeed())
	var sink *config.Sink
	for range 3 {
		sink = w.sink(r, config.Webhook, func(s *config.Sink) { s.HeadersFile = headers })
	}
	sink.AllowAddresses = nil // the last one may not be connected to
	var n atomic.Int32
	r.set(func(rw http.ResponseWriter, q *http.Request, _ []arrived) int {
		rw.Header().Set("Location", q.URL.String()+q.Header.Get("Authorization"))
		switch n.Add(1) % 5 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			return http.StatusBadRequest
		case 2:
			return http.StatusFound
		case 3:
			_, _ = rw.Write([]byte(q.Header.Get("Authorization")))
			return 0
		default:
			return http.StatusUnauthorized
		}
	})
	w.logs.append("acme", 30, noon, "a")
	w.start()
	said := strings.Builder{}
	w.pass(time.Second, func() bool { fmt.Fprintf(&said, "%+v", w.runner.States()); return n.Load() > 30 })
	w.Expect(os.WriteFile(sink.SecretFile, []byte(strings.TrimPrefix(secret, "whsec_")), 0o600)).To(Succeed()) // broken
	w.during(time.Hour, time.Minute)
	fmt.Fprintf(&said, "%+v", w.runner.States())
	w.Expect(said.String()).To(And(ContainSubstring("Reason:address"), ContainSubstring("Reason:status"), ContainSubstring("Reason:redirect")))
	text := w.logged.String()
	w.Expect(text).To(ContainSubstring("Cannot send events"))
	text += said.String()
	for _, part := range []string{"TOKEN", "MfKQ9r8G", "/hook"} {
		w.Expect(text).NotTo(ContainSubstring(part))
	}
}

// TestABrokenSourceIsNotTheSinksFault.
func TestABrokenSourceIsNotTheSinksFault(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	w.sink(r, config.Webhook, nil)
	w.logs.broken = context.DeadlineExceeded
	w.logs.append("acme", 3, noon, "a")
	w.start()
	w.pass(time.Second, func() bool { return strings.Contains(w.logged.String(), "Cannot read logs") })
	w.logs.mu.Lock()
	w.logs.broken = nil
	w.logs.mu.Unlock()
	w.arrive(r, 3)
	for _, reason := range sinks.Reasons() {
		w.Expect(w.metric("keyward_sink_failures_total", string(reason), w.sinks[0].Name)).To(Equal(0.0))
	}
}
