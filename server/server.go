// Package server assembles the validator: the store and its sync client at the back, the integrations in front, and
// the authorizer between them.
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

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/adminapi"
	"github.com/keyward-dev/keyward/server/adminapi/decisionlog"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/authorizer/search"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/integrations/awsauthorizer"
	"github.com/keyward-dev/keyward/server/integrations/envoy"
	"github.com/keyward-dev/keyward/server/integrations/envoy/accesslog"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/server/integrations/jwks"
	"github.com/keyward-dev/keyward/server/integrations/keyinfo"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
	"github.com/keyward-dev/keyward/server/integrations/verify"
	"github.com/keyward-dev/keyward/server/options"
	"github.com/keyward-dev/keyward/server/principal"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/syncclient"
	"github.com/keyward-dev/keyward/server/tracing"
	"github.com/keyward-dev/keyward/server/usage"
)

// Server is one validator. Make it with New, and Run it once.
type Server struct {
	config options.Config
	log    *slog.Logger
	store  *store.Store
	sync   *syncclient.Client
	quotas *quota.Tracker
	usage  *usage.Recorder
	rates  *ratelimit.Limiter

	principals *principal.Signer // nil if there is no key for them

	registry *prometheus.Registry

	decisions *decisionlog.Ring // nil if no decisions are recorded

	receipts   *accesslog.Receipts // both are nil unless access logs are accepted
	accessLogs *accesslog.Server

	integrations []*http1.Server
	grpc         *grpcListener
	admin        *http1.Server

	draining atomic.Bool
}

// New opens the store and the listeners, so that everything that cannot work fails here.
func New(config options.Config, log *slog.Logger) (_ *Server, err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(), newBuildInfo())
	s := &Server{config: config, log: log, registry: registry}
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	if s.store, err = store.Open(config.Store, log, registry); err != nil {
		return nil, fmt.Errorf("--snapshot-dir: %w", err)
	}
	s.usage = usage.New()
	s.quotas = quota.New(registry)
	s.quotas.Follow(s.store.Schedule)
	s.rates = ratelimit.New(time.Now)
	s.sync = syncclient.New(config.Sync, s.store, s.usage, s.quotas, s.rates, log, registry)
	searches := search.Config{AtOnce: runtime.GOMAXPROCS(0) / 2, IPv6Prefix: config.Throttle.IPv6Prefix, Work: decision.SearchWork}
	dependencies := []authorizer.Option{
		authorizer.WithThrottle(throttle.New(config.Throttle)), authorizer.WithMeter(s.usage), authorizer.WithRates(s.rates),
		authorizer.WithQuota(s.quotas), authorizer.WithRefusals(s.usage),
		authorizer.WithPublic(throttle.New(config.Public), s.usage),
		authorizer.WithReading(config.Reading), authorizer.WithSearches(search.New(searches, registry)),
		authorizer.WithKeys(credential.New(config.Keys)),
		authorizer.WithTracer(tracing.New(config.Tracing)),
	}
	if config.AdminTokenFile != "" {
		if _, err := adminapi.ReadToken(config.AdminTokenFile); err != nil {
			return nil, fmt.Errorf("--admin-token-file: %w", err)
		}
		s.decisions = decisionlog.New()
		dependencies = append(dependencies, authorizer.WithRecorder(s.decisions))
	}
	if config.Principal.Path != "" {
		if s.principals, err = principal.New(config.Principal, time.Now, log, registry); err != nil {
			return nil, fmt.Errorf("--principal-key-file: %w", err)
		}
		dependencies = append(dependencies, authorizer.WithPrincipals(s.principals))
	}
	if config.EnvoyAccessLog {
		s.receipts = accesslog.NewReceipts(time.Now, registry)
		s.accessLogs = accesslog.New(s.receipts, responses{s.quotas, s.store}, registry)
	}
	if err := s.openIntegrations(authorizer.New(s.store, time.Now, log, registry, dependencies...)); err != nil {
		return nil, err
	}
	admin := listenerConfig{flag: "admin-bind-address", address: config.AdminAddress, limits: config.Listeners, smallBodies: true}
	s.admin, err = listenHTTP(admin, s.adminHandler(), log)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) adminHandler() http.Handler {
	config := adminapi.Config{
		Metrics: s.registry, Store: s.store, Draining: s.draining.Load, Decisions: s.decisions, TokenFile: s.config.AdminTokenFile,
		Quota: s.quotas, Usage: s.usage, Log: s.log,
	}
	if s.config.AcceptDrain {
		config.Drain = s.announceEnd
	}
	return adminapi.New(config)
}

// announced is for how long an announced end is believed, because everybody who reaches the admin address can announce it.
const announced = 5 * time.Minute

// announceEnd has clients leave while there still is a content server. A sidecar ends after it: clients that stay on their
// connections until then would get 502.
func (s *Server) announceEnd() {
	for _, server := range s.integrations {
		server.Drain()
	}
	time.AfterFunc(announced, func() {
		if s.draining.Load() {
			return
		}
		for _, server := range s.integrations {
			server.Resume()
		}
	})
}

// responses counts the bytes of responses that Envoy reports.
type responses struct {
	quotas *quota.Tracker
	store  *store.Store
}

// RecordResponse implements accesslog.Recorder.
func (r responses) RecordResponse(response accesslog.Response) {
	if r.store.HasGroup(response.Group) { // it may have been deleted
		r.quotas.Count([]quota.Amount{{Group: response.Group, Bytes: response.BodyBytes}}, time.Now())
	}
}

func (s *Server) openIntegrations(a *authorizer.Authorizer) error {
	clients := clientaddr.New(s.config.TrustedProxies, s.config.ClientAddressHeader)
	secure, err := integrationTLS(s.config.Listeners, s.log)
	if err != nil {
		return err
	}
	s.registry.MustRegister(&certificates{own: secure, authorityFile: s.config.Sync.CAFile})
	mux := http.NewServeMux()
	fastPath := forwardauth.Register(mux, a, clients, forwardauth.KeepCredential(s.config.Stripping.KeepCredential))
	verify.Register(mux, a, clients)
	awsauthorizer.Register(mux, a, clients)
	holders := keyinfo.New(a, clients)
	holders.Register(mux)
	if s.principals != nil {
		jwks.Register(mux, s.principals)
	}
	front, err := listenHTTP(listenerConfig{
		flag: "http-bind-address", address: s.config.HTTPAddress, limits: s.config.Listeners, tls: secure, fastPath: fastPath,
		smallBodies: true,
	}, fastPath.Prefixed(withUnknown(mux)), s.log)
	if err != nil {
		return err
	}
	s.integrations = append(s.integrations, front)

	if s.config.Upstream != nil {
		proxy := reverseproxy.New(a, reverseproxy.Config{
			Upstream: s.config.Upstream, Timeout: s.config.Timeout, Project: s.config.Project, Stripping: s.config.Stripping,
			Clients: clients,
		}, s.log)
		config := listenerConfig{flag: "proxy-bind-address", address: s.config.ProxyAddress, limits: s.config.Listeners,
			tls: secure, upgrades: true}
		if s.config.Listeners.ProxyProtocol {
			config.proxies = clients
		}
		server, err := listenHTTP(config, holders.InFront(proxy), s.log)
		if err != nil {
			return err
		}
		s.integrations = append(s.integrations, server)
	}

	config := listenerConfig{flag: "grpc-bind-address", address: s.config.GRPCAddress, limits: s.config.Listeners, tls: secure}
	s.grpc, err = listenGRPC(config, s.registry, envoy.ServerOption(a.Keys()), func(server *grpc.Server) {
		var options []envoy.Option
		if s.accessLogs != nil {
			s.accessLogs.Register(server)
			options = append(options, envoy.WithReceipts(s.receipts))
		}
		envoy.Register(server, a, clients, s.config.Stripping, options...)
	})
	return err
}

// Addresses are where the server listens. Proxy is nil if there is no upstream.
type Addresses struct {
	HTTP, GRPC, Admin, Proxy net.Addr
}

// Addresses returns the actual addresses, also for port 0.
func (s *Server) Addresses() Addresses {
	a := Addresses{HTTP: s.integrations[0].Addr(), GRPC: s.grpc.listener.Addr(), Admin: s.admin.Addr()}
	if len(s.integrations) > 1 {
		a.Proxy = s.integrations[1].Addr()
	}
	return a
}

// Run serves until ctx ends, and then drains: it continues to serve for the shutdown delay, but reports that it is not
// ready; then it stops accepting connections and finishes the requests in flight; then it tells the manager that it
// leaves. It returns an error only if a listener fails.
func (s *Server) Run(ctx context.Context) error {
	syncCtx, goodbye := context.WithCancel(context.WithoutCancel(ctx))
	var synced sync.WaitGroup
	synced.Go(func() { s.sync.Run(syncCtx) })
	synced.Go(func() { s.rates.Run(syncCtx, s.store.HasGroup, s.store.HasKey) })
	if s.principals != nil {
		synced.Go(func() { s.principals.Run(syncCtx) })
	}
	defer func() {
		goodbye()
		synced.Wait()
		if err := s.store.Close(); err != nil {
			s.log.Error("cannot close the persisted snapshot", slog.Any("error", err))
		}
	}()

	failed := make(chan error, len(s.integrations)+2)
	for _, server := range append(s.integrations, s.admin) {
		go func() { failed <- server.Serve() }()
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
	for _, server := range s.integrations {
		server.Drain()
	}
	s.log.Info("draining", slog.Duration("delay", s.config.ShutdownDelay), slog.Duration("timeout", s.config.ShutdownTimeout))
	time.Sleep(s.config.ShutdownDelay)
	s.drain()
	return nil
}

// drain closes the integrations at once and waits for the requests in flight. The admin address, which reports that
// the server is not ready, stays open until then.
func (s *Server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	if s.accessLogs != nil {
		s.accessLogs.Close()
	}
	var closing sync.WaitGroup
	for _, server := range s.integrations {
		closing.Go(func() { s.report(server.Shutdown(ctx)) })
	}
	closing.Go(func() { s.report(s.grpc.shutdown(ctx)) })
	closing.Wait()
	s.report(s.admin.Shutdown(ctx))
	s.log.Info("drained")
}

func (s *Server) report(err error) {
	if err != nil {
		s.log.Warn("requests in flight were cut off; raise --shutdown-timeout", slog.Any("error", err))
	}
}

func (s *Server) closeListeners() {
	var errs []error
	for _, server := range append(s.integrations, s.admin) {
		if server != nil {
			errs = append(errs, server.Close())
		}
	}
	if s.grpc != nil {
		s.grpc.server.Stop()
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Debug("closing", slog.Any("error", err))
	}
}
