// Package program assembles the program of the console: the secrets of cookies, the API server, the pages, and the addresses that they are served at.
package program

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/keyward-dev/keyward/console/bearer"
	"github.com/keyward-dev/keyward/console/config"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/oidc"
	"github.com/keyward-dev/keyward/console/options"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/shared"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/version"
)

const (
	reloadEvery  = time.Minute
	readyTimeout = 2 * time.Second
	readyFor     = 2 * time.Second // how long an answer of the API server holds, so that probes cost it little
)

// Server is one console. Make it with New, and Run it once.
type Server struct {
	config options.Config
	log    *slog.Logger
	ring   *keyring.Ring
	ready  *readiness
	shared *shared.Revocations // nil: one replica, which keeps what was ended in memory

	certificate            *certwatcher.CertWatcher // nil behind a proxy
	pages, health, metrics *listener                // metrics is nil without an address
}

// listener is a server with the address that it was given.
type listener struct {
	net.Listener
	server *http.Server
}

// New reads the secrets and opens the addresses, so that everything that cannot work fails here. Desk does everything as a person.
func New(config options.Config, desk func(*person.Person) (web.Desk, error), log *slog.Logger) (_ *Server, err error) {
	s := &Server{config: config, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.ring, err = keyring.Read(config.KeysDir); err != nil {
		return nil, fmt.Errorf("--keys-dir: %w", err)
	}
	tokens := bearer.New(&rest.Config{Host: config.APIServer, UserAgent: "keyward-console/" + version.Get().Version,
		TLSClientConfig: rest.TLSClientConfig{CAFile: config.APIServerCAFile}}, config.ServiceAccounts)
	if s.ready, err = newReadiness(tokens.Anonymous()); err != nil {
		return nil, fmt.Errorf("--api-server-ca-file: %w", err)
	}
	revocations, err := s.revocations(tokens.Anonymous())
	if err != nil {
		return nil, fmt.Errorf("--revocations: %w", err)
	}
	reach, provider, err := s.signIn(tokens)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	clients := clientaddr.New(config.TrustedProxies, clientaddr.HeaderXForwardedFor)
	handler, err := web.New(web.Config{
		Desk: desk, Ring: s.ring, Now: time.Now, Log: log, Registry: registry, Reach: reach, Verify: tokens.Verify,
		Provider: provider, ServiceAccounts: config.ServiceAccounts, Revocations: revocations, Origins: []string{config.Origin},
		AtOnce: config.AtOnce, LogSignIns: config.LogSignIns,
		Address: func(r *http.Request) netip.Addr {
			return clients.FromConnection(clientaddr.Peer(r.RemoteAddr), r.Header)
		},
	})
	if err != nil {
		return nil, err
	}
	return s, s.open(handler, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

// signIn reads how people sign in beside tokens, and returns how the API server is reached as them, and the provider; nil: there is none.
func (s *Server) signIn(tokens *bearer.Tokens) (reach func(session.Claims) (*rest.Config, error), provider web.Provider, err error) {
	if s.config.File == "" {
		return tokens.Reach, nil, nil
	}
	file, err := config.Load(s.config.File)
	if err != nil || file.OIDC == nil {
		return tokens.Reach, nil, err
	}
	provider, err = oidc.New(*file.OIDC, oidc.Environment{Origin: s.config.Origin, Ring: s.ring, Now: time.Now, Log: s.log, Verify: tokens.Verify})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.config.File, err)
	}
	if file.OIDC.Impersonate == nil {
		return tokens.Reach, provider, nil
	}
	return file.OIDC.Impersonate.Reach(tokens.Anonymous(), tokens.Reach), provider, nil
}

// revocations are in memory, or shared with other replicas. Then the console has a right of its own, with the token of its ServiceAccount.
func (s *Server) revocations(own *rest.Config) (session.Revocations, error) {
	if s.config.Revocations == "" {
		return session.NewMemory(time.Now, time.Now()), nil
	}
	own.BearerTokenFile = s.config.TokenFile
	clients, err := corev1client.NewForConfig(own)
	if err != nil {
		return nil, err
	}
	s.shared, err = shared.New(shared.Config{
		ConfigMaps: clients.ConfigMaps(s.config.RevocationsNamespace), Name: s.config.Revocations, Now: time.Now, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.ready.revocations = s.shared.Check
	return s.shared, nil
}

func buildInfo() prometheus.Collector {
	build := version.Get()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "keyward_build_info",
		Help:        "Always 1; its labels are the version of Keyward, the revision of Git, and the version of Go.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "goversion": build.GoVersion},
	}, func() float64 { return 1 })
}

func (s *Server) open(pages, metrics http.Handler) (err error) {
	var secure *tls.Config
	if s.config.TLSCertFile != "" {
		if s.certificate, err = certwatcher.New(s.config.TLSCertFile, s.config.TLSKeyFile); err != nil {
			return fmt.Errorf("--tls-cert: %w", err)
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: s.certificate.GetCertificate}
	}
	if s.pages, err = s.listen("listen", s.config.Address, pages, secure); err != nil {
		return err
	}
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	health.Handle("GET /readyz", s.ready)
	if s.health, err = s.listen("health-listen", s.config.HealthAddress, health, nil); err != nil {
		return err
	}
	if s.config.MetricsAddress == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	s.metrics, err = s.listen("metrics-listen", s.config.MetricsAddress, mux, nil)
	return err
}

func (s *Server) listen(flag, address string, handler http.Handler, secure *tls.Config) (*listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	return &listener{l, web.NewServer(handler, 0, s.log)}, nil
}

// Addresses are where the console listens, also for port 0. Metrics is nil if there are none.
type Addresses struct{ Pages, Health, Metrics net.Addr }

// Addresses returns the actual addresses.
func (s *Server) Addresses() Addresses {
	a := Addresses{Pages: s.pages.Addr(), Health: s.health.Addr()}
	if s.metrics != nil {
		a.Metrics = s.metrics.Addr()
	}
	return a
}

// Run serves until ctx ends, and then finishes the requests in flight. It returns an error only if an address fails.
func (s *Server) Run(ctx context.Context) error {
	all := s.listeners()
	failed := make(chan error, len(all)+1)
	if s.certificate != nil {
		go func() {
			if err := s.certificate.Start(ctx); err != nil {
				failed <- fmt.Errorf("--tls-cert: %w", err)
			}
		}()
	}
	for _, l := range all {
		go func() { failed <- l.server.Serve(l) }()
	}
	if s.shared != nil {
		following, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the requests in flight are done
		var follower sync.WaitGroup
		follower.Go(func() { s.shared.Run(following) })
		defer follower.Wait()
		defer stop()
	}
	a := s.Addresses()
	s.log.Info("serving", slog.String("pages", a.Pages.String()), slog.String("health", a.Health.String()), slog.String("origin", s.config.Origin))
	again := time.NewTicker(reloadEvery)
	defer again.Stop()
	for {
		select {
		case err := <-failed:
			s.close()
			return err
		case <-again.C:
			if err := s.ring.Reload(); err != nil {
				s.log.Warn("the secrets of cookies cannot be read again; the earlier ones stay in use", slog.Any("error", err))
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	s.ready.leave()
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownTimeout)
	defer stop()
	for _, l := range all { // the pages first: health answers until they are done
		if err := l.server.Shutdown(ending); err != nil {
			s.log.Warn("requests in flight were cut off; raise --shutdown-timeout", slog.Any("error", err))
		}
	}
	return nil
}

func (s *Server) listeners() []*listener {
	var all []*listener
	for _, l := range []*listener{s.pages, s.metrics, s.health} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

func (s *Server) close() {
	for _, l := range s.listeners() {
		if err := errors.Join(l.server.Close(), l.Close()); err != nil {
			s.log.Debug("closing", slog.Any("error", err))
		}
	}
}

// readiness says whether the API server answers. That the secrets were read is known, or there would be no Server.
type readiness struct {
	url    string
	client *http.Client

	revocations func() error // nil: they are in memory, and always known

	leaving atomic.Bool

	// mu guards what is below. It is held while one asks, and others wait for that answer.
	mu       sync.Mutex
	answered time.Time
	problem  string // empty: it answered
}

func newReadiness(anonymous *rest.Config) (*readiness, error) {
	transportConfig, err := anonymous.TransportConfig()
	if err != nil {
		return nil, err
	}
	through, err := transport.New(transportConfig)
	if err != nil {
		return nil, err
	}
	return &readiness{url: anonymous.Host + "/readyz", client: &http.Client{Transport: through, Timeout: readyTimeout}}, nil
}

func (r *readiness) leave() { r.leaving.Store(true) }

// ServeHTTP implements http.Handler.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if r.leaving.Load() {
		http.Error(w, "ending", http.StatusServiceUnavailable)
		return
	}
	if r.revocations != nil {
		if err := r.revocations(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	if problem := r.latest(request.Context()); problem != "" {
		http.Error(w, problem, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// latest is an answer that is not older than readyFor.
func (r *readiness) latest(ctx context.Context) (problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered.IsZero() || time.Since(r.answered) >= readyFor {
		r.problem = r.ask(context.WithoutCancel(ctx))
		r.answered = time.Now() // when it has answered: who waits for a slow answer takes it, and asks for no other
	}
	return r.problem
}

// ask says why the API server is not ready. That it refuses to tell nobody is an answer: it works, and people have credentials.
func (r *readiness) ask(ctx context.Context) (problem string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return err.Error()
	}
	response, err := r.client.Do(request)
	if err != nil {
		return "the API server does not answer: " + err.Error()
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return "the API server is not ready: " + response.Status
	}
	return ""
}
