package sinks

import "time"

// State is how a sink is.
type State struct {
	Name, Type string
	// Started reports whether anything is sent: the positions of sinks are loaded.
	Started bool
	// LastDelivered is when the receiver last took events; zero if it has not since this manager leads.
	LastDelivered time.Time
	// WaitingSince is the time of the oldest event that the receiver does not have; zero if it has all.
	WaitingSince time.Time
	// FailingSince is since when the receiver takes nothing; zero if it does, or was not asked.
	FailingSince time.Time
	// Reason and Message are why. Message is as when that began or another reason replaced it, or of the last answer. It has no secret, and not the URL.
	Reason  Reason
	Message string
	// Refusing is of how many logs the receiver refuses an event, while it takes others.
	Refusing int
}

// States returns how each sink is, in the order in which they are configured. It may be called at any time.
func (r *Runner) States() []State {
	states := make([]State, 0, len(r.Sinks))
	if running := r.running.Load(); running != nil {
		for _, w := range *running {
			states = append(states, w.state())
		}
		return states
	}
	for _, sink := range r.Sinks {
		states = append(states, State{Name: sink.Name, Type: string(sink.Type)})
	}
	return states
}

// state copies what others may see.
func (w *worker) state() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{
		Name: w.sink.Name, Type: string(w.sink.Type), Started: true,
		LastDelivered: w.lastTook, FailingSince: w.failing, Reason: w.reason, Message: w.message,
	}
	for _, l := range w.order {
		if l.behind() && (s.WaitingSince.IsZero() || l.since.Before(s.WaitingSince)) {
			s.WaitingSince = l.since
		}
		if l.refusals > 0 {
			s.Refusing++
		}
	}
	return s
}
