// Package server assembles the validator: the store and its sync client behind, the doors in
// front, the gate between them.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"

	"github.com/keyward-dev/keyward/server/adminapi"
	"github.com/keyward-dev/keyward/server/adminapi/decisionlog"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/authorizer/search"
	"github.com/keyward-dev/keyward/server/authorizer/throttle"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
	"github.com/keyward-dev/keyward/server/integrations/awsauthorizer"
	"github.com/keyward-dev/keyward/server/integrations/envoy"
	"github.com/keyward-dev/keyward/server/integrations/envoy/accesslog"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
	"github.com/keyward-dev/keyward/server/integrations/verify"
	"github.com/keyward-dev/keyward/server/options"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/syncclient"
	"github.com/keyward-dev/keyward/server/usage"
)

// Server is one validator. Make it with New, and Run it once.
type Server struct {
	config options.Config
	log    *slog.Logger
	store  *store.Store
	sync   *syncclient.Client
	quotas *quota.Tracker
	uses   *usage.Recorder
	rates  *ratelimit.Limiter

	registry *prometheus.Registry

	decisions *decisionlog.Ring // nil where none are kept

	receipts   *accesslog.Receipts // nil, as what takes access logs in, where none are believed
	accessLogs *accesslog.Server

	integrations []*httpListener
	grpc         *grpcListener
	admin        *httpListener

	draining atomic.Bool
}

// New opens the store and the listeners, so that whatever cannot work fails here.
func New(config options.Config, log *slog.Logger) (_ *Server, err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	s := &Server{config: config, log: log, registry: registry}
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	if s.store, err = store.Open(config.Store, log, registry); err != nil {
		return nil, fmt.Errorf("--snapshot-dir: %w", err)
	}
	s.uses = usage.New()
	s.quotas = quota.New(registry)
	s.rates = ratelimit.New(time.Now)
	s.sync = syncclient.New(config.Sync, s.store, s.uses, s.quotas, s.rates, log, registry)
	around := []authorizer.Option{
		authorizer.WithThrottle(throttle.New(config.Throttle)), authorizer.WithMeter(s.uses), authorizer.WithRates(s.rates), authorizer.WithQuota(s.quotas),
		authorizer.WithReading(config.Reading),
		authorizer.WithSearches(search.New(search.Config{AtOnce: runtime.GOMAXPROCS(0) / 2, IPv6Prefix: config.Throttle.IPv6Prefix, Work: decision.SearchWork}, registry)),
	}
	if config.AdminTokenFile != "" {
		if _, err := adminapi.ReadToken(config.AdminTokenFile); err != nil {
			return nil, fmt.Errorf("--admin-token-file: %w", err)
		}
		s.decisions = decisionlog.New()
		around = append(around, authorizer.WithRecorder(s.decisions))
	}
	if config.EnvoyAccessLog {
		s.receipts = accesslog.NewReceipts(time.Now, registry)
		s.accessLogs = accesslog.New(s.receipts, responses{s.quotas, s.store}, registry)
	}
	if err := s.openIntegrations(authorizer.New(s.store, time.Now, log, registry, around...)); err != nil {
		return nil, err
	}
	if s.admin, err = listenHTTP(listenerConfig{flag: "admin-bind-address", address: config.AdminAddress, limits: config.Listeners}, closeUpgrades(s.adminHandler()), log); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) adminHandler() http.Handler {
	return adminapi.New(adminapi.Config{
		Metrics: s.registry, Store: s.store, Draining: s.draining.Load, Decisions: s.decisions, TokenFile: s.config.AdminTokenFile,
		Quota: s.quotas, Usage: s.uses, Log: s.log,
	})
}

// responses counts the bytes that Envoy tells of.
type responses struct {
	quotas *quota.Tracker
	store  *store.Store
}

// RecordResponse implements accesslog.Recorder.
func (r responses) RecordResponse(response accesslog.Response) {
	if r.store.HasGroup(response.Group) { // it may be gone by now
		r.quotas.Count([]quota.Amount{{Group: response.Group, Bytes: response.BodyBytes}}, time.Now())
	}
}

func (s *Server) openIntegrations(g *authorizer.Authorizer) error {
	clients := clientaddr.New(s.config.TrustedProxies, s.config.ClientAddressHeader)
	secure, err := integrationTLS(s.config.Listeners, s.log)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	fastPath := forwardauth.Register(mux, g, clients)
	verify.Register(mux, g, clients)
	awsauthorizer.Register(mux, g, clients)
	front, err := listenHTTP(listenerConfig{flag: "http-bind-address", address: s.config.HTTPAddress, limits: s.config.Listeners, tls: secure, fastPath: whileServing{fastPath, &s.draining}},
		s.closeWhenDraining(closeUpgrades(boundBodies(s.config.Listeners.ReadHeaderTimeout, withUnknown(mux)))), s.log)
	if err != nil {
		return err
	}
	s.integrations = append(s.integrations, front)

	if s.config.Upstream != nil {
		proxy := reverseproxy.New(g, reverseproxy.Config{
			Upstream: s.config.Upstream, Timeout: s.config.Timeout, Project: s.config.Project, Stripping: s.config.Stripping, Clients: clients,
		}, s.log)
		config := listenerConfig{flag: "proxy-bind-address", address: s.config.ProxyAddress, limits: s.config.Listeners, tls: secure}
		if s.config.Listeners.ProxyProtocol {
			config.proxies = clients
		}
		listener, err := listenHTTP(config, s.closeWhenDraining(proxy), s.log)
		if err != nil {
			return err
		}
		s.integrations = append(s.integrations, listener)
	}

	s.grpc, err = listenGRPC(listenerConfig{flag: "grpc-bind-address", address: s.config.GRPCAddress, limits: s.config.Listeners, tls: secure}, s.registry, envoy.ServerOption(),
		func(server *grpc.Server) {
			var logged []envoy.Option
			if s.accessLogs != nil {
				s.accessLogs.Register(server)
				logged = append(logged, envoy.WithReceipts(s.receipts))
			}
			envoy.Register(server, g, clients, s.config.Stripping, logged...)
		})
	return err
}

// Addresses are where the server listens; Proxy is nil where there is none.
type Addresses struct {
	HTTP, GRPC, Admin, Proxy net.Addr
}

// Addresses returns the actual addresses, also for port 0.
func (s *Server) Addresses() Addresses {
	a := Addresses{HTTP: s.integrations[0].listener.Addr(), GRPC: s.grpc.listener.Addr(), Admin: s.admin.listener.Addr()}
	if len(s.integrations) > 1 {
		a.Proxy = s.integrations[1].listener.Addr()
	}
	return a
}

// Run serves until ctx ends, and then drains: unready, it serves on for the shutdown delay;
// then it stops accepting and finishes what is in flight; then it says goodbye to the
// manager. It returns an error only if a listener fails.
func (s *Server) Run(ctx context.Context) error {
	syncCtx, goodbye := context.WithCancel(context.WithoutCancel(ctx))
	var synced sync.WaitGroup
	synced.Go(func() { s.sync.Run(syncCtx) })
	synced.Go(func() { s.rates.Run(syncCtx, s.store.HasGroup, s.store.HasKey) })
	defer func() {
		goodbye()
		synced.Wait()
		if err := s.store.Close(); err != nil {
			s.log.Error("cannot close the persisted snapshot", slog.Any("error", err))
		}
	}()

	failed := make(chan error, len(s.integrations)+2)
	for _, listener := range append(s.integrations, s.admin) {
		go func() { failed <- listener.serve() }()
	}
	go func() { failed <- s.grpc.serve() }()
	a := s.Addresses()
	s.log.Info("serving", slog.Any("http", a.HTTP), slog.Any("grpc", a.GRPC), slog.Any("admin", a.Admin), slog.Any("proxy", a.Proxy))

	select {
	case err := <-failed:
		s.closeListeners()
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("draining", slog.Duration("delay", s.config.ShutdownDelay), slog.Duration("timeout", s.config.ShutdownTimeout))
	time.Sleep(s.config.ShutdownDelay)
	s.drain()
	return nil
}

// drain closes the doors at once and waits for what is in flight; the admin address, which
// tells that the server is unready, stays open until then.
func (s *Server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	if s.accessLogs != nil {
		s.accessLogs.Close()
	}
	var closing sync.WaitGroup
	for _, listener := range s.integrations {
		closing.Go(func() { s.report(listener.shutdown(ctx)) })
	}
	closing.Go(func() { s.report(s.grpc.shutdown(ctx)) })
	closing.Wait()
	s.report(s.admin.shutdown(ctx))
	s.log.Info("drained")
}

func (s *Server) report(err error) {
	if err != nil {
		s.log.Warn("requests in flight were cut off; raise --shutdown-timeout", slog.Any("error", err))
	}
}

func (s *Server) closeListeners() {
	var errs []error
	for _, listener := range append(s.integrations, s.admin) {
		if listener != nil {
			errs = append(errs, listener.server.Close(), listener.listener.Close())
		}
	}
	if s.grpc != nil {
		s.grpc.server.Stop()
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Debug("closing", slog.Any("error", err))
	}
}

// whileServing leaves everything to the handlers when closeWhenDraining has to have its say.
type whileServing struct {
	http1.FastPath

	draining *atomic.Bool
}

// Answer implements http1.Answerer.
func (w whileServing) Respond(request *httpapi.FastRequest, response *httpapi.FastResponse) bool {
	return !w.draining.Load() && w.FastPath.Respond(request, response)
}

// closeWhenDraining asks HTTP/1.1 clients not to use their connections again, so that none
// sends its next request while the connection closes.
func (s *Server) closeWhenDraining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() && r.ProtoMajor == 1 && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
