// Package adminapi is the admin port of a validation server: health, readiness and metrics for everybody; the decision log,
// checks of origins and usage for clients that present the admin token.
package adminapi

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/adminapi/decisionlog"
	"github.com/keyward-dev/keyward/server/adminapi/originapi"
	"github.com/keyward-dev/keyward/server/adminapi/usageapi"
)

// Store is what the server knows of Groups and keys.
type Store interface {
	usageapi.Groups
	originapi.Groups
}

// Usage counts and reports the use of keys.
type Usage interface {
	usageapi.KeyCounter
	usageapi.Reporter
}

// Config is what the admin port shows.
type Config struct {
	Metrics prometheus.Gatherer
	Store   Store
	// Draining reports whether the server is shutting down.
	Draining func() bool
	// Drain is called for GET /drain; without it there is no such path.
	Drain func()

	// Decisions is the decision log. Without one, which is without a token, only what is for everybody is served.
	Decisions *decisionlog.Ring
	TokenFile string
	Quota     usageapi.Counter
	Usage     Usage
	Log       *slog.Logger
}

// New returns the handler of the admin port.
func New(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { respond(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", c.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
	if c.Drain != nil {
		// A GET, because the kubelet sends no other for preStop.
		mux.HandleFunc("GET /drain", func(w http.ResponseWriter, _ *http.Request) {
			c.Drain()
			respond(w, http.StatusOK, "draining")
		})
	}
	if c.Decisions == nil {
		mux.HandleFunc("GET "+adminv1.DecisionsPath, decisionlog.Disabled)
		mux.HandleFunc(adminv1.UsagePath, usageapi.Disabled)
		mux.HandleFunc("GET "+adminv1.CheckOriginPath, originapi.Disabled)
		return mux
	}
	withToken := func(pattern string, handler http.Handler) {
		mux.Handle(pattern, RequireToken(c.TokenFile, c.Log, handler))
	}
	withToken("GET "+adminv1.DecisionsPath, c.Decisions.Handler())
	withToken("GET "+adminv1.CheckOriginPath, originapi.Handler(c.Store))
	withToken("POST "+adminv1.UsagePath, usageapi.Handler(c.Store, c.Quota, c.Usage, time.Now))
	withToken("GET "+adminv1.UsagePath, usageapi.ReportHandler(c.Store, c.Usage))
	return mux
}

// ready answers 200 while requests should be sent here: with a complete snapshot, and not draining. A server with a stale
// snapshot stays ready, because no other server would do better.
func (c *Config) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case c.Draining():
		respond(w, http.StatusServiceUnavailable, "draining")
	case !c.Store.Synced():
		respond(w, http.StatusServiceUnavailable, "not synced: no snapshot from the manager yet")
	default:
		respond(w, http.StatusOK, "ok")
	}
}

func respond(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // a client that has disconnected needs no response
}
