package server

import (
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keyward-dev/keyward/server/adminapi/decisionlog"
	"github.com/keyward-dev/keyward/server/adminapi/usageapi"
)

// adminHandler serves /healthz, /readyz and /metrics to everybody, and /v1/decisions and /v1/usage to clients with the
// token.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { respond(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	if s.decisions == nil {
		mux.HandleFunc("GET "+decisionlog.Path, decisionlog.Off)
		mux.HandleFunc(usageapi.Path, usageapi.Off)
	} else {
		mux.Handle("POST "+usageapi.Path, decisionlog.Guard(s.config.AdminTokenFile, s.log,
			usageapi.Handler(s.store, s.quotas, s.usage, time.Now)))
		mux.Handle("GET "+usageapi.Path, decisionlog.Guard(s.config.AdminTokenFile, s.log, usageapi.ReportHandler(s.store, s.usage)))
		mux.Handle("GET "+decisionlog.Path, s.decisions.Handler(s.config.AdminTokenFile, s.log))
	}
	return mux
}

// readyz responds with 200 while requests should be sent here: the server has a complete snapshot and does not drain. A
// server with a stale snapshot stays ready, because no other server would do better.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.draining.Load():
		respond(w, http.StatusServiceUnavailable, "draining")
	case !s.store.Synced():
		respond(w, http.StatusServiceUnavailable, "not synced: no snapshot from the manager yet")
	default:
		respond(w, http.StatusOK, "ok")
	}
}

func respond(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // a prober that has gone needs no response
}
