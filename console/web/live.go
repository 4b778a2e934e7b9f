package web

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/console/person"
)

// Bounds of streams. They are no requests of which only some are answered at a time, since they last.
const (
	// streamLasts is after how long the browser has to ask again, so that a session that has ended, or a right that was taken away, ends
	// what a page gets.
	streamLasts = time.Minute
	// streamGrace is how much longer the connection may be written to.
	streamGrace = 10 * time.Second
	// mostStreams is how many there are at a time, and mostOfPerson how many of one person.
	mostStreams, mostOfPerson = 1024, 16
	// reconnectAfter is how long a browser waits with its next request.
	reconnectAfter = "retry: 1000\n\n"
)

// streams counts those that are open.
type streams struct {
	people *perOne[string]
	open   prometheus.Gauge

	over context.Context // ends with all of them
	end  context.CancelFunc

	mu  sync.Mutex
	all int
}

func newStreams(registry prometheus.Registerer) (*streams, error) {
	s := &streams{people: newPerOne[string](mostOfPerson), open: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keyward_console_streams", Help: "Pages that are kept current at the moment.",
	})}
	s.over, s.end = context.WithCancel(context.Background())
	if registry == nil {
		return s, nil
	}
	return s, registry.Register(s.open)
}

// enter counts a stream of a person until leave is called. It returns false if there are too many.
func (s *streams) enter(name string) (leave func(), ok bool) {
	own, ok := s.people.enter(name)
	if !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= mostStreams {
		own()
		return nil, false
	}
	s.all++
	s.open.Set(float64(s.all))
	return func() {
		own()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		s.open.Set(float64(s.all))
	}, true
}

// live serves the stream of a page: an event with the version of what it shows, now and whenever that has changed (Server-Sent Events, in the HTML
// standard). The script of the page asks for the page again if it has another version.
func (c *console) live(pattern string, follow func(ctx context.Context, a *asked) (<-chan string, error)) {
	c.handle("GET "+pattern+"/live", c.guarded(pattern, c.serve(func(a *asked) error {
		name := ""
		if of, ok := person.From(a.r.Context()); ok {
			name = of.Name
		}
		leave, ok := c.streams.enter(name)
		if !ok {
			a.w.Header().Set("Retry-After", "30")
			http.Error(a.w, "Too many pages are open. This one is not kept current.", http.StatusServiceUnavailable)
			return nil
		}
		defer leave()
		whole, answered := outlast(a.r.Context())
		ctx, stop := context.WithTimeout(whole, streamLasts)
		defer stop()
		defer context.AfterFunc(c.streams.over, stop)()
		versions, err := follow(ctx, a)
		if err != nil {
			return err
		}
		answered()
		send(ctx, a.w, versions)
		return nil
	})))
}

// send writes versions until there are no more, or nobody wants them.
func send(ctx context.Context, w http.ResponseWriter, versions <-chan string) {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(streamLasts + streamGrace)) // the connection has its own clock
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would wait for more
	w.WriteHeader(http.StatusOK)
	for text := reconnectAfter; ; {
		if _, err := io.WriteString(w, text); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case version, more := <-versions:
			if !more {
				return
			}
			text = "event: version\ndata: " + version + "\n\n"
		}
	}
}
