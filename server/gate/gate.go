// Package gate is the engine behind all doors: it decides, counts and logs. Doors only
// translate.
package gate

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/server/decision"
)

// Gate decides on one snapshot. It is safe for concurrent use.
type Gate struct {
	snapshot  decision.Snapshot
	now       func() time.Time
	log       *slog.Logger
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
}

// New returns a gate that reads the time from now and registers its metrics with metrics.
func New(snapshot decision.Snapshot, now func() time.Time, log *slog.Logger, metrics prometheus.Registerer) *Gate {
	g := &Gate{
		snapshot: snapshot,
		now:      now,
		log:      log,
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_validator_decisions_total",
			Help: "Decisions by door and code; the code of what was let through is allowed.",
		}, []string{"door", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "keyward_validator_decision_duration_seconds",
			Help:    "How long deciding took, without reading the request and writing the answer.",
			Buckets: prometheus.ExponentialBuckets(250e-9, 4, 10), // 250 ns to 66 ms
		}, []string{"door"}),
	}
	metrics.MustRegister(g.decisions, g.duration)
	return g
}

// Door is the gate as one door uses it.
type Door struct {
	gate      *Gate
	name      string
	decisions []prometheus.Counter // by code, looked up once
	duration  prometheus.Observer
}

// Door returns the gate for the door of that name, which labels its metrics.
func (g *Gate) Door(name string) *Door {
	d := &Door{gate: g, name: name, duration: g.duration.WithLabelValues(name)}
	for _, code := range decision.Codes() {
		d.decisions = append(d.decisions, g.decisions.WithLabelValues(name, code.String()))
	}
	return d
}

// Decide decides the request as of now.
func (d *Door) Decide(ctx context.Context, request *decision.Request) decision.Decision {
	begin := time.Now()
	result := decision.Decide(d.gate.snapshot, request, d.gate.now())
	d.duration.Observe(time.Since(begin).Seconds())
	d.decisions[result.Code].Inc()
	if d.gate.log.Enabled(ctx, slog.LevelDebug) {
		d.logDecision(ctx, request, result)
	}
	return result
}

// logDecision leaves out path, query and referer, in which clients put things that belong
// in no log.
func (d *Door) logDecision(ctx context.Context, request *decision.Request, result decision.Decision) {
	attributes := []slog.Attr{
		slog.String("door", d.name),
		slog.String("code", result.Code.String()),
		slog.String("method", request.Method),
		slog.String("host", request.Host),
	}
	if result.Key != nil {
		attributes = append(attributes, slog.String("key", result.Key.ID), slog.String("group", result.Group.Identity))
	}
	if result.Project != nil {
		attributes = append(attributes, slog.String("project", result.Project.Name))
	}
	d.gate.log.LogAttrs(ctx, slog.LevelDebug, "decided", attributes...)
}
