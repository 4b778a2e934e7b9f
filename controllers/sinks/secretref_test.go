package sinks_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
)

// entry is an entry of a Secret; without one if it is empty.
type entry struct {
	mu    sync.Mutex
	text  string
	reads int
}

func (e *entry) Entry(context.Context, string, string) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reads++
	if e.text == "" {
		return nil, errors.New("there is no Secret keyward-system/keyward-sinks; create it with the entry \"siem\"")
	}
	return []byte(e.text), nil
}

func (e *entry) set(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text = text
}

func (e *entry) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reads
}

// TestSecretRef: what waits for a Secret is reported before there is an event, sent when there is one, and never without a signature. A receiver
// that refuses the old secret gets everything with the new one.
func TestSecretRef(t *testing.T) {
	w, r, e := newWorld(t), newReceiver(t), &entry{}
	sink := w.sink(r, config.Webhook, func(s *config.Sink) {
		s.SecretFile, s.SecretRef = "", config.SecretRef{Name: "keyward-sinks", Key: "siem"}
	})
	to, err := (&sender.Maker{Clock: w.clock, Secrets: e}).New(sink)
	w.Expect(err).NotTo(HaveOccurred())
	w.sinks[0] = sinks.Sink{Sink: sink, Sender: to}
	signatures := sync.Map{}
	r.set(func(_ http.ResponseWriter, q *http.Request, _ []arrived) int {
		if q.Header.Get("Webhook-Signature") == "" {
			t.Error("a request is not signed")
		}
		signatures.Store(q.Header.Get("Webhook-Signature"), true)
		return 0
	})
	w.start()
	w.Eventually(func() float64 { return w.metric("keyward_sink_failures_total", "secret", sink.Name) }).Should(Equal(1.0))
	w.Expect(w.logged.String()).To(ContainSubstring("create it with the entry"))
	w.logs.append("acme", 3, noon, "a")
	w.during(10*time.Minute, time.Second)
	events, requests := r.count()
	w.Expect([]int{events, requests}).To(Equal([]int{0, 0}))
	w.Expect(e.count()).To(BeNumerically("<=", 11), "it is asked for once a minute")
	e.set(secret)
	w.arrive(r, 3)
	w.Eventually(w.logged.String).Should(ContainSubstring("Events are sent again")) // the receiver has them before the answer is read
	w.Expect(w.logged.String()).NotTo(ContainSubstring("MfKQ9r8G"))

	var knows atomic.Bool // the new secret
	r.set(func(_ http.ResponseWriter, q *http.Request, _ []arrived) int {
		if _, old := signatures.Load(q.Header.Get("Webhook-Signature")); old || !knows.Load() {
			return http.StatusUnauthorized
		}
		return 0
	})
	w.logs.append("acme", 2, w.clock.Now(), "a")
	w.during(2*time.Minute, time.Second)
	e.set("whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD")
	knows.Store(true)
	w.arrive(r, 5)
}

// TestASecretThatIsCreatedLater: a sink that has nothing to send is not shown as failing after what it needs was created.
func TestASecretThatIsCreatedLater(t *testing.T) {
	w, r, e := newWorld(t), newReceiver(t), &entry{}
	sink := w.sink(r, config.Webhook, func(s *config.Sink) {
		s.SecretFile, s.SecretRef = "", config.SecretRef{Name: "keyward-sinks", Key: "siem"}
	})
	to, err := (&sender.Maker{Clock: w.clock, Secrets: e}).New(sink)
	w.Expect(err).NotTo(HaveOccurred())
	w.sinks[0] = sinks.Sink{Sink: sink, Sender: to}
	w.calm = true
	w.start()
	state := func() sinks.State { return w.runner.States()[0] }
	w.Eventually(func() float64 { return w.metric("keyward_sink_failures_total", "secret", sink.Name) }).Should(Equal(1.0))
	w.during(10*time.Minute, time.Second)
	w.Expect(state().Reason).To(Equal(sinks.ReasonSecret))
	e.set(secret)
	w.during(30*time.Minute, 10*time.Second)
	w.Expect(state().FailingSince).To(BeZero())
	w.Expect(state().LastDelivered).To(BeZero(), "nothing was sent")
}

// rejecting takes records that it sends to nobody.
type rejecting struct{ requests atomic.Int64 }

func (r *rejecting) Send(_ context.Context, records []sinks.Record) (int, error) {
	r.requests.Add(1)
	return len(records), nil
}

func (*rejecting) Close() {}

// TestNothingIsDeliveredOfWhatIsRejected.
func TestNothingIsDeliveredOfWhatIsRejected(t *testing.T) {
	w, r, to := newWorld(t), newReceiver(t), &rejecting{}
	w.sinks[0] = sinks.Sink{Sink: w.sink(r, config.Webhook, nil), Sender: to}
	w.logs.append("acme", 1, noon, "a")
	w.start()
	w.pass(time.Second, func() bool { return to.requests.Load() > 0 && w.runner.States()[0].WaitingSince.IsZero() })
	w.Expect(w.runner.States()[0].LastDelivered).To(BeZero())
}
