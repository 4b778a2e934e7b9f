package web

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/console/page"
)

// Bounds of the server, beside those of forms.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	mostHeadBytes  = 32 << 10 // four cookies and the longest path are 20 KiB
	mostErrorBytes = 1 << 10
)

// NewServer returns a server of the console, which bounds the time and the size of requests.
func NewServer(handler http.Handler, timeout time.Duration, log *slog.Logger) *http.Server {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout + timeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: mostHeadBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if pages, ok := handler.(*Pages); ok {
		server.RegisterOnShutdown(pages.EndStreams)
	}
	return server
}

// turn is a request among those that are answered at a time.
type turn struct {
	whole context.Context // without a deadline
	leave func()
}

type turnKey struct{}

// bound lets next answer so many requests at a time, and gives each so much time.
func bound(most int, timeout time.Duration, next http.Handler) http.Handler {
	slots := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave := sync.OnceFunc(func() { <-slots })
		select {
		case slots <- struct{}{}:
			defer leave()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Too many requests are being answered at the moment. Try again.", http.StatusServiceUnavailable)
			return
		}
		ctx, stop := context.WithTimeout(context.WithValue(r.Context(), turnKey{}, &turn{r.Context(), leave}), timeout)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// outlast is for a request that goes on within bounds of its own: it returns a context that ends with the request, and what lets another one be
// answered in its place.
func outlast(ctx context.Context) (whole context.Context, leave func()) {
	t, ok := ctx.Value(turnKey{}).(*turn)
	if !ok {
		return ctx, func() {}
	}
	return t.whole, t.leave
}

// errorPages answers with a page of the console where inner answers with a plain text that something failed.
func (c *console) errorPages(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caught := &plainErrors{ResponseWriter: w}
		defer func() {
			if recover() != nil { // what it says may have something of a request
				c.config.Log.Error("a request ended in a panic", slog.String("stack", string(debug.Stack())))
				if !caught.began {
					http.Error(caught, "Something unexpected happened. It was logged.", http.StatusInternalServerError)
				}
			}
			if caught.failed == 0 {
				return
			}
			frame := page.Frame{Title: title(caught.failed), Now: c.config.Now()}
			c.write(w, caught.failed, page.Failure{Reason: sentence(caught.text.String())}, frame)
		}()
		inner.ServeHTTP(caught, r)
	})
}

// plainErrors keeps back a response that is an error in plain text.
type plainErrors struct {
	http.ResponseWriter
	began  bool
	failed int // its status; 0: it is none
	text   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (w *plainErrors) WriteHeader(status int) {
	if w.began {
		return
	}
	w.began = true
	if status >= http.StatusBadRequest && strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		w.failed = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *plainErrors) Write(b []byte) (int, error) {
	if !w.began {
		w.WriteHeader(http.StatusOK)
	}
	if w.failed == 0 {
		return w.ResponseWriter.Write(b)
	}
	w.text.Write(b[:min(len(b), mostErrorBytes-min(mostErrorBytes, w.text.Len()))])
	return len(b), nil
}

// Unwrap is for http.ResponseController.
func (w *plainErrors) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe logs and counts requests, by what cannot have anything of a person: method, pattern of the path, status and duration.
func (c *console) observe(inner http.Handler) (http.Handler, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_console_requests_total", Help: "Requests to the console by route and class of the status.",
	}, []string{"route", "class"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "keyward_console_request_duration_seconds", Help: "How long the console took to answer a request, by route.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"route"})
	if c.config.Registry != nil {
		for _, one := range []prometheus.Collector{requests, seconds} {
			if err := c.config.Registry.Register(one); err != nil {
				return nil, err
			}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := c.mux.Handler(r)
		if _, path, ok := strings.Cut(route, " "); ok {
			route = path
		}
		if route == "" {
			route = "none"
		}
		began, seen := c.config.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		inner.ServeHTTP(seen, r)
		took := c.config.Now().Sub(began)
		requests.WithLabelValues(route, strconv.Itoa(seen.status/100)+"xx").Inc()
		seconds.WithLabelValues(route).Observe(took.Seconds())
		c.config.Log.Info("answered", slog.String("method", method(r.Method)), slog.String("route", route), slog.Int("status", seen.status),
			slog.Duration("took", took))
	}), nil
}

// method returns one that is served, or "other": clients send what they like.
func method(of string) string {
	switch of {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return of
	}
	return "other"
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
	began  bool
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if !w.began {
		w.status, w.began = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	w.began = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
