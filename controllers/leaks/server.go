// Package leaks receives reports of scanners that have found key texts in public: those of GitHub's secret scanning partner program,
// which are signed, and those of anybody who has a token. Of a text it keeps the digest, and that no longer than the request. A
// replica that receives a report writes it into the status of the ApiKey; what follows is the reconciler's, on the leader.
package leaks

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/controllers/seal"
)

// Path is where reports are sent to.
const Path = "/v1/leaks"

const (
	maxConnections = 64
	maxHeader      = 16 << 10
	maxAtOnce      = 4
	perSecond      = 20
	burst          = 40
	maxTokenFile   = 4096
	minTokenLength = 16
	readTimeout    = 10 * time.Second
	writeTimeout   = time.Minute
	stopTimeout    = 5 * time.Second
)

// Server receives reports.
type Server struct {
	// Address to listen on, host:port.
	Address     string
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Client reads from the cache, and writes.
	Client client.Client
	Seals  *seal.Keeper
	Clock  clock.PassiveClock
	// TokenFile has the token of reports in the plain form; if it is empty, none are accepted.
	TokenFile string
	// GitHubKeysURL is where GitHub publishes the keys with which it signs; if it is empty, its reports are not accepted.
	GitHubKeysURL string

	log    logr.Logger
	keys   *publicKeys
	atOnce chan struct{}
	limit  *rate.Limiter
}

// NeedLeaderElection is false: every replica receives reports.
func (*Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("--leaks-bind-address: %w", err)
	}
	server := &http.Server{
		Handler: s.Handler(), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Certificate, NextProtos: []string{"http/1.1"}},
		BaseContext: func(net.Listener) context.Context {
			return context.WithoutCancel(ctx)
		},
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- server.Shutdown(bounded)
	}()
	if err := server.ServeTLS(netutil.LimitListener(listener, maxConnections), "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving reports of leaks: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// Handler returns what serves reports.
func (s *Server) Handler() http.Handler {
	s.log = ctrl.Log.WithName("leaks")
	s.atOnce, s.limit = make(chan struct{}, maxAtOnce), rate.NewLimiter(perSecond, burst)
	if s.GitHubKeysURL != "" {
		s.keys = newPublicKeys(s.GitHubKeysURL, s.Clock)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, s.serve)
	return mux
}

// label is what a scanner learns about a text that it has sent. The text itself is not repeated.
type label struct {
	TokenHash string `json:"token_hash"`
	TokenType string `json:"token_type"`
	Label     string `json:"label"`
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	status, labels, err := s.process(r)
	requests.WithLabelValues(strconv.Itoa(status)).Inc()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "10")
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(labels) // a client that has disconnected needs no response
}

// process returns what to answer. The order is that of cost: nothing is read of a request that cannot be authentic.
func (s *Server) process(r *http.Request) (status int, labels []label, err error) {
	keyID, signature := r.Header.Get(headerKeyID), r.Header.Get(headerSignature)
	signed := keyID != "" || signature != ""
	switch {
	case !s.limit.Allow(): // of all clients: those in front of it have one address
		return http.StatusTooManyRequests, nil, errors.New("too many requests; try again later")
	case signed && s.keys == nil:
		return http.StatusUnauthorized, nil, errors.New("signed reports are not accepted; set --leaks-github-keys-url")
	case !signed && !s.hasToken(r.Header.Get("Authorization")):
		return http.StatusUnauthorized, nil, errors.New("send Authorization: Bearer and the token of --leaks-token-file")
	case r.ContentLength > maxBody:
		return http.StatusRequestEntityTooLarge, nil, fmt.Errorf("a body has at most %d bytes", maxBody)
	}
	select {
	case s.atOnce <- struct{}{}:
		defer func() { <-s.atOnce }()
	default:
		return http.StatusServiceUnavailable, nil, errors.New("other reports are being processed; try again later")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	defer clear(body) // it has texts
	switch {
	case err != nil:
		return http.StatusBadRequest, nil, errors.New("the body was not complete")
	case len(body) > maxBody:
		return http.StatusRequestEntityTooLarge, nil, fmt.Errorf("a body has at most %d bytes", maxBody)
	}
	source := ""
	if signed {
		source = "github"
		switch err := s.keys.verify(r.Context(), keyID, signature, body); {
		case errors.Is(err, errSignature):
			return http.StatusUnauthorized, nil, err
		case err != nil:
			s.log.Error(err, "Cannot verify a report")
			return http.StatusServiceUnavailable, nil, errors.New("the keys of the scanner cannot be fetched at present; try again later")
		}
	}
	reports, err := parseReports(body)
	if err != nil {
		return http.StatusBadRequest, nil, err
	}
	return s.recordAll(r.Context(), reports, source)
}

func (s *Server) recordAll(ctx context.Context, all []found, source string) (status int, labels []label, err error) {
	labels = make([]label, 0, len(all))
	for i := range all {
		known, err := s.record(ctx, &all[i], source)
		if err != nil {
			s.log.Error(err, "A report of a leak is not recorded")
			reports.WithLabelValues("failed").Inc()
			return http.StatusServiceUnavailable, nil, errors.New("not all reports could be recorded; send them again")
		}
		text, outcome := "false_positive", "unknown"
		if known {
			text, outcome = "true_positive", "known"
		}
		reports.WithLabelValues(outcome).Inc()
		labels = append(labels, label{
			TokenHash: base64.StdEncoding.EncodeToString(all[i].digest[:]), TokenType: all[i].kind, Label: text,
		})
	}
	return http.StatusOK, labels, nil
}

// hasToken reports whether the header has the token of the file, which is read again each time: a mounted Secret may change.
func (s *Server) hasToken(authorization string) bool {
	scheme, presented, _ := strings.Cut(authorization, " ")
	if s.TokenFile == "" || !strings.EqualFold(scheme, "Bearer") || presented == "" {
		return false
	}
	file, err := os.Open(s.TokenFile)
	if err != nil {
		s.log.Error(err, "Cannot read the token of reports")
		return false
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxTokenFile))
	if err != nil {
		s.log.Error(err, "Cannot read the token of reports")
		return false
	}
	token := strings.TrimSpace(string(content))
	if len(token) < minTokenLength {
		s.log.Info("The token of reports is too short, and nobody has it", "least", minTokenLength)
		return false
	}
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
