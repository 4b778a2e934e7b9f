// Package usageapi serves what was used of Groups over time, to whoever may read their GroupUsages: programs that show or bill it and
// are no clients of Kubernetes. Every replica serves it. The answers are those of internal/usagequery.
package usageapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/usagequery"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	maxConnections = 64
	maxHeader      = 20 << 10 // a token has at most 16 KiB
	maxQuery       = 1024
	maxKeyID       = 32
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	stopTimeout    = 5 * time.Second
)

// Hours has what was used of Groups by hour.
type Hours interface {
	// Hours returns the hours of a Group, namespace/name, in which anything was used.
	Hours(ctx context.Context, group string) (map[usageseries.Hour]usageseries.HourUse, error)
}

// Server serves usage over time.
type Server struct {
	// Address to listen on, host:port.
	Address     string
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Client reads Groups and ApiKeys from the cache, and creates reviews. Reader reads GroupUsages, which are not cached.
	Client client.Client
	Reader client.Reader
	Clock  clock.PassiveClock
	// Hours has what was used by hour; nil where the usage store keeps none.
	Hours Hours

	log    logr.Logger
	access *access
}

// NeedLeaderElection is false: every replica serves.
func (*Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("--usage-bind-address: %w", err)
	}
	return s.serveOn(ctx, listener)
}

// serveOn serves until the context ends, and then closes the listener.
func (s *Server) serveOn(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout,
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Certificate, NextProtos: []string{"http/1.1"}},
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
		return fmt.Errorf("serving usage over time: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// Handler returns what serves usage.
func (s *Server) Handler() http.Handler {
	s.log = ctrl.Log.WithName("usageapi")
	s.access = newAccess(s.Client, s.Clock)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+adminv1.UsageSeriesPath, s.serve)
	return mux
}

// problem is an error with the status of its response.
type problem struct {
	status int
	detail string
}

func (p *problem) Error() string { return p.detail }

func problemf(status int, format string, args ...any) *problem {
	return &problem{status, fmt.Sprintf(format, args...)}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "private, no-cache") // a copy may be kept, and has to be validated
	header.Set("Vary", "Authorization")
	header.Set("X-Content-Type-Options", "nosniff")
	series, failed := s.answer(r)
	if failed != nil {
		s.refuse(w, failed)
		return
	}
	body, err := json.Marshal(series)
	if err != nil {
		s.log.Error(err, "Cannot write usage")
		s.refuse(w, problemf(http.StatusInternalServerError, "the response could not be written"))
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	header.Set("ETag", tag)
	status := http.StatusOK
	if matches(r.Header.Values("If-None-Match"), tag) {
		status = http.StatusNotModified
	} else {
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	requests.WithLabelValues(strconv.Itoa(status)).Inc()
	w.WriteHeader(status)
	if status == http.StatusOK {
		_, _ = w.Write(body) // a client that has disconnected needs no response
	}
}

func (s *Server) refuse(w http.ResponseWriter, p *problem) {
	requests.WithLabelValues(strconv.Itoa(p.status)).Inc()
	switch p.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "10")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(adminv1.UsageProblem{Title: http.StatusText(p.status), Status: p.status, Detail: p.detail})
}

// request is what a request asks for.
type request struct {
	group types.NamespacedName
	key   string // the id of a key, or empty
	query usagequery.Query
	hours *usagequery.HourQuery // by hour, in place of query
}

// parse reads the query of a URL.
func parse(raw string, now time.Time) (*request, *problem) {
	if len(raw) > maxQuery {
		return nil, problemf(http.StatusRequestURITooLong, "a query has at most %d characters", maxQuery)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the query is not well-formed; write ?group=namespace/name&by=day")
	}
	for name, given := range values {
		switch name {
		case adminv1.UsageSeriesGroup, adminv1.UsageSeriesKey, adminv1.UsageSeriesBy, adminv1.UsageSeriesFrom, adminv1.UsageSeriesTo:
			if len(given) != 1 {
				return nil, problemf(http.StatusBadRequest, "%s: write it once", name)
			}
		default:
			return nil, problemf(http.StatusBadRequest, "there is no such parameter; there are group, key, by, from and to")
		}
	}
	asked := &request{key: values.Get(adminv1.UsageSeriesKey)}
	namespace, name, found := strings.Cut(values.Get(adminv1.UsageSeriesGroup), "/")
	if !found || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, problemf(http.StatusBadRequest, "group: write the namespace and the name of the Group, such as acme/acme")
	}
	asked.group = types.NamespacedName{Namespace: namespace, Name: name}
	err = asked.parseRange(values.Get(adminv1.UsageSeriesBy), values.Get(adminv1.UsageSeriesFrom), values.Get(adminv1.UsageSeriesTo), now)
	switch {
	case err != nil:
		return nil, problemf(http.StatusBadRequest, "%s", err)
	case values.Has(adminv1.UsageSeriesKey) && (asked.key == "" || len(asked.key) > maxKeyID):
		return nil, problemf(http.StatusBadRequest, "key: write the id of a key, which is status.keyID of its ApiKey")
	case asked.key != "" && (asked.hours != nil || !asked.query.IsByDay()):
		return nil, problemf(http.StatusBadRequest, "by: of a key only days are kept; write day")
	}
	return asked, nil
}

// parseRange reads what the points are, and their range.
func (r *request) parseRange(by, from, to string, now time.Time) (err error) {
	switch {
	case by == adminv1.ByHour:
		r.hours = &usagequery.HourQuery{}
		*r.hours, err = usagequery.ParseHours(from, to, now)
	case by != "" && !slices.Contains(usagequery.By, by):
		err = fmt.Errorf("by: write one of %s, %s", strings.Join(usagequery.By, ", "), adminv1.ByHour)
	default:
		r.query, err = usagequery.Parse(by, from, to, now)
	}
	return err
}

// answer returns what is asked for. The order is that of cost.
func (s *Server) answer(r *http.Request) (*adminv1.UsageSeries, *problem) {
	release, failed := s.access.enter()
	if failed != nil {
		return nil, failed
	}
	defer release()
	user, failed := s.access.authenticate(r)
	if failed != nil {
		return nil, failed
	}
	asked, failed := parse(r.URL.RawQuery, s.Clock.Now())
	if failed != nil {
		return nil, failed
	}
	if asked.hours != nil && s.Hours == nil {
		return nil, problemf(http.StatusBadRequest,
			"by: hours are kept where the usage store is Redis or Valkey, and this manager has none: set --usage-store, or write day")
	}
	ctx := r.Context()
	if failed := s.access.authorize(ctx, user, "groupusages", asked.group); failed != nil {
		return nil, failed
	}
	group := &v1alpha1.Group{}
	if err := s.Client.Get(ctx, asked.group, group); err != nil {
		return nil, s.readProblem(err, "Group", asked.group)
	}
	switch {
	case asked.key != "":
		return s.ofKey(ctx, user, asked)
	case asked.hours != nil:
		return s.ofHours(ctx, group, asked)
	}
	usage := &v1alpha1.GroupUsage{}
	if err := s.Reader.Get(ctx, asked.group, usage); client.IgnoreNotFound(err) != nil { // without one, nothing was used
		return nil, s.readProblem(err, "GroupUsage", asked.group)
	}
	series := asked.query.Series(usagequery.Of(group, usage))
	return &series, nil
}

// ofKey returns the days of a key of the Group, which the user may read, too.
func (s *Server) ofKey(ctx context.Context, user *user, asked *request) (*adminv1.UsageSeries, *problem) {
	missing := problemf(http.StatusNotFound, "key: no ApiKey of Group %s has this id as its status.keyID", asked.group)
	keys, err := cache.CachedKeysWithID(ctx, s.Client, asked.key)
	switch {
	case err != nil:
		return nil, s.readProblem(err, "ApiKey", asked.group)
	case len(keys) != 1 || cache.GroupName(keys[0].Spec.GroupRef, keys[0].Namespace) != asked.group:
		return nil, missing
	}
	key := &keys[0] // of the cache: it is only read
	if failed := s.access.authorize(ctx, user, "apikeys", client.ObjectKeyFromObject(key)); failed != nil {
		return nil, failed
	}
	series := asked.query.KeySeries(asked.group.String(), key)
	return &series, nil
}

// ofHours returns the hours of a Group.
func (s *Server) ofHours(ctx context.Context, group *v1alpha1.Group, asked *request) (*adminv1.UsageSeries, *problem) {
	name := asked.group.String()
	used, err := s.Hours.Hours(ctx, name)
	if err != nil {
		s.log.Error(err, "Cannot read hours of usage", "name", name)
		return nil, problemf(http.StatusServiceUnavailable, "the usage store cannot be read at present; try again later")
	}
	series := asked.hours.Series(name, group.CreationTimestamp.Time, used)
	return &series, nil
}

func (s *Server) readProblem(err error, kind string, name types.NamespacedName) *problem {
	switch {
	case apierrors.IsNotFound(err):
		return problemf(http.StatusNotFound, "group: there is no %s %s", kind, name)
	case apierrors.IsForbidden(err):
		return problemf(http.StatusNotFound, "group: the manager does not read namespace %s; see --watch-namespaces", name.Namespace)
	}
	s.log.Error(err, "Cannot read usage", "kind", kind, "name", name.String())
	return problemf(http.StatusServiceUnavailable, "the %s cannot be read at present; try again later", kind)
}

// matches reports whether one of the entity tags of If-None-Match is that of the response; any is, if it is *.
func matches(headers []string, tag string) bool {
	for _, header := range headers {
		for one := range strings.SplitSeq(header, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}
