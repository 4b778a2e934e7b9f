package sinks_test

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

// TestStates: a sink says whether it has begun, whether it fails, since when and why, and when it took something. The text of a failure is
// that of the last one.
func TestStates(t *testing.T) {
	w, r := newWorld(t), newReceiver(t)
	name := w.sink(r, config.CloudEvents, nil).Name
	idle := &sinks.Runner{Sinks: w.sinks, Clock: w.clock}
	w.Expect(idle.States()).To(Equal([]sinks.State{{Name: name, Type: "CloudEvents"}}))

	w.logs.append("acme", 3, noon, "a")
	r.status(http.StatusServiceUnavailable)
	w.calm = true
	w.start()
	state := func() sinks.State {
		if states := w.runner.States(); len(states) == 1 {
			return states[0]
		}
		return sinks.State{}
	}
	w.pass(time.Second, func() bool { return !state().FailingSince.IsZero() })
	failing := state()
	w.Expect(failing.Started).To(BeTrue())
	w.Expect(failing.Reason).To(Equal(sinks.ReasonStatus))
	w.Expect(failing.Message).To(Equal("the receiver answers 503 Service Unavailable"))
	w.Expect(failing.WaitingSince).To(BeTemporally("==", noon))
	w.Expect(failing.LastDelivered).To(BeZero())
	r.status(http.StatusBadGateway)
	w.during(time.Hour, time.Minute)
	failing.Message = "the receiver answers 502 Bad Gateway"
	w.Expect(state()).To(Equal(failing), "nothing else of it moves")

	r.status(0)
	w.arrive(r, 3)
	w.pass(time.Second, func() bool { return state().WaitingSince.IsZero() })
	w.Expect(state().FailingSince).To(BeZero())
	w.Expect(state().Message).To(BeEmpty())
	w.Expect(state().LastDelivered).To(BeTemporally(">", noon))

	r.set(func(_ http.ResponseWriter, _ *http.Request, events []arrived) int {
		if events[0].Log == "acme" {
			return http.StatusBadRequest
		}
		return 0
	})
	w.logs.append("acme", 1, w.clock.Now(), "a")
	w.pass(time.Second, func() bool { return state().Refusing == 1 })
}
