package principal

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// reread is how often the keys are read.
	reread = 5 * time.Second

	// MaxAge is for how long content servers may keep the public keys.
	MaxAge = 5 * time.Minute

	// ahead is how long a new key is published before it signs: longer than the kubelet needs to bring it to all validation
	// servers, and content servers keep the public keys, together.
	ahead = 10 * time.Minute
)

// Config is what is signed with, and for whom.
type Config struct {
	// Path is a PEM file with keys, or a directory of such files. Without it nothing is signed.
	Path string
	// Issuer and Audience are the claims iss and aud.
	Issuer, Audience string
}

// Signer signs principals with the newest key that content servers know. It is safe for concurrent use.
type Signer struct {
	config Config
	now    func() time.Time
	log    *slog.Logger

	ring atomic.Pointer[ring]

	mu     sync.Mutex // of Reload, and what follows
	failed string     // why the keys could not be read the last time, "" if they could

	invalid prometheus.Gauge
	keys    *prometheus.GaugeVec
}

// ring is the keys that are published. It never changes.
type ring struct {
	keys    []*key // the newest one is the last
	since   map[string]time.Time
	signing *key
	set     []byte // as a JWK Set
}

// New reads the keys, and fails if there are none.
func New(config Config, now func() time.Time, log *slog.Logger, metrics prometheus.Registerer) (*Signer, error) {
	s := &Signer{
		config: config, now: now, log: log,
		invalid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keyward_validator_principal_keys_invalid",
			Help: "1 while the files of --principal-key-file cannot be used; what was read before is used then.",
		}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keyward_validator_principal_keys",
			Help: "Published keys by state: next will sign, signing does, and previous did, or would have.",
		}, []string{"state"}),
	}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	metrics.MustRegister(s.invalid, s.keys)
	return s, nil
}

// Run reads the keys again and again until ctx ends.
func (s *Signer) Run(ctx context.Context) {
	ticker := time.NewTicker(reread)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = s.Reload() // which has logged it
		}
	}
}

// Reload reads the keys, and decides which one signs. If they are not valid, those that were read before stay in use. It logs an
// error once.
func (s *Signer) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := read(s.config.Path)
	before := s.ring.Load()
	switch {
	case err != nil && before == nil:
		return err
	case err != nil:
		if s.failed != err.Error() {
			s.failed = err.Error()
			s.log.Error("cannot use the keys for principals, continuing with the last ones", slog.Any("error", err))
		}
		s.invalid.Set(1)
		keys = before.keys
	default:
		s.failed = ""
		s.invalid.Set(0)
	}
	after := newRing(keys, before, s.now())
	s.ring.Store(after)
	s.count(after)
	s.report(before, after)
	return err
}

// newRing decides which key signs: the newest one that was published for long enough. A server that has just started knows of
// none for how long others have published it. Then the second newest signs, which the newest is to replace.
func newRing(keys []*key, before *ring, now time.Time) *ring {
	r := &ring{keys: keys, since: make(map[string]time.Time, len(keys)), signing: keys[max(0, len(keys)-2)]}
	for _, k := range keys {
		r.since[k.id] = now
		if before != nil {
			if since, ok := before.since[k.id]; ok {
				r.since[k.id] = since
			}
		}
		if now.Sub(r.since[k.id]) >= ahead {
			r.signing = k
		}
	}
	r.set = setOf(keys)
	return r
}

func (s *Signer) count(r *ring) {
	at := slices.Index(r.keys, r.signing)
	s.keys.WithLabelValues("previous").Set(float64(at))
	s.keys.WithLabelValues("signing").Set(1)
	s.keys.WithLabelValues("next").Set(float64(len(r.keys) - 1 - at))
}

func (s *Signer) report(before, after *ring) {
	if before != nil && before.signing.id == after.signing.id && len(before.keys) == len(after.keys) {
		return
	}
	attributes := []any{slog.String("signs", after.signing.id), slog.String("file", after.signing.file), slog.Int("published", len(after.keys))}
	if before == nil || before.has(after.signing.id) {
		s.log.Info("keys for principals", attributes...)
		return
	}
	s.log.Warn("a key for principals signs that was not published before: content servers refuse it until they read the keys again; "+
		"next time, leave the earlier one where it is", attributes...)
}

func (r *ring) has(id string) bool { _, has := r.since[id]; return has }

// Set returns the public keys as a JWK Set (RFC 7517, section 5).
func (s *Signer) Set() []byte { return s.ring.Load().set }

type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

func setOf(keys []*key) []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jwk{Type: "OKP", Curve: "Ed25519", X: k.public, ID: k.id, Use: "sig", Algorithm: algorithm})
	}
	text, _ := json.Marshal(set) // it has only texts
	return text
}
