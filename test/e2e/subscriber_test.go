package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/syncclient"
	"github.com/keyward-dev/keyward/server/usage"
)

// subscriber is the inside of a validation server, made visible: it keeps what it receives byte for byte, it can decide
// about digests without their keys, and it can be slow.
type subscriber struct {
	*store.Store

	instance string
	slowness time.Duration
	bytes    *os.File

	mu   sync.Mutex
	seen map[keyformat.Digest]struct{} // all digests that were ever received
	err  error
}

// subscribe connects a subscriber for as long as the test lasts, and waits until it is current.
func (w *world) subscribe(instance string, slowness time.Duration) *subscriber {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	inner, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := os.Create(w.path("logs", fmt.Sprintf("%s-%s.updates", w.namespace, instance)))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &subscriber{Store: inner, instance: instance, slowness: slowness, bytes: file, seen: map[keyformat.Digest]struct{}{}}
	sync := syncclient.New(syncclient.Config{
		Address: w.syncAddress, ServerName: "keyward-sync." + systemNamespace + ".svc",
		CAFile: filepath.Join(w.ca.Dir, caFile), TokenFile: w.validatorToken.Path(), Instance: instance, UsageInterval: time.Minute,
	}, s, usage.New(), quota.New(prometheus.NewRegistry()), ratelimit.New(time.Now), log, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); sync.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		<-done
		if err := file.Close(); err != nil || s.err != nil {
			w.t.Errorf("keeping the updates: %v, %v", err, s.err)
		}
	})
	eventually(w.t, instance+" to be current", patience, func() error {
		if !s.Synced() {
			return errors.New("it is not")
		}
		return nil
	})
	return s
}

// Apply keeps the update, and then applies it.
func (s *subscriber) Apply(update *syncv1.Update) error {
	data, err := proto.Marshal(update)
	if err == nil {
		_, err = s.bytes.Write(data)
	}
	s.mu.Lock()
	s.err = errors.Join(s.err, err)
	for _, key := range update.GetKeys() {
		for _, version := range key.GetVersions() {
			s.seen[keyformat.Digest(version.GetDigest())] = struct{}{}
		}
	}
	s.mu.Unlock()
	time.Sleep(s.slowness) // nothing is waited for: this is how slow it is
	return s.Store.Apply(update)
}

// digests returns all digests that were ever received.
func (s *subscriber) digests() []keyformat.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]keyformat.Digest, 0, len(s.seen))
	for digest := range s.seen {
		all = append(all, digest)
	}
	return all
}

// decide returns the code for a request with the key of this digest.
func (s *subscriber) decide(digest keyformat.Digest) string {
	return decision.Decide(s.Store, &decision.Request{
		Credential: decision.Credential{Form: decision.WellFormed, Digest: digest},
		Method:     http.MethodGet, Path: "/mkt/scene",
	}, time.Now()).Code.String()
}

// verify returns the code as a validation server does.
func (s *subscriber) verify(_ context.Context, key string) (string, error) {
	return s.decide(keyformat.DigestOf(key)), nil
}
