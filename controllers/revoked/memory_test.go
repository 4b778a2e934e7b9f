package revoked

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func digestOf(n int) keyformat.Digest { return sha256.Sum256(fmt.Append(nil, n)) }

// keep remembers the entries, and waits until they are kept.
func keep(t interface{ Fatal(...any) }, m *Memory, entries ...Entry) {
	kept, err := m.Remember(context.Background(), entries...)
	if err == nil && !kept {
		m.writers.Wait()
		kept, err = m.Remember(context.Background(), entries...)
	}
	if err != nil || !kept {
		t.Fatal("the entries are not kept: ", err)
	}
}

func newMemory(c client.Client, clock *clocktesting.FakeClock) *Memory {
	return &Memory{Reader: c, Client: c, Namespace: "keyward-system", Clock: clock, limiter: rate.NewLimiter(rate.Inf, 1)}
}

func TestMain(m *testing.M) {
	logf.SetLogger(logr.Discard())
	m.Run()
}

// A new Memory reads exactly the entries that a model has.
func TestMemoryIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, clock := fake.NewClientBuilder().Build(), clocktesting.NewFakeClock(start)
		m := newMemory(c, clock)
		model := map[int]Entry{}
		check := func() {
			for n := range 10 {
				cause, known, err := m.Recall(context.Background(), digestOf(n))
				want, is := model[n]
				is = is && (want.Until.IsZero() || clock.Now().Before(want.Until))
				if err != nil || known != is || is && cause != want.Cause {
					t.Fatalf("of %d is known %v %v %v, want %v %+v", n, known, cause, err, is, want)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"remember": func(t *rapid.T) {
				n := rapid.IntRange(0, 9).Draw(t, "n")
				entry := Entry{Digest: digestOf(n), Cause: rapid.SampledFrom([]Cause{Deleted, Ended}).Draw(t, "cause")}
				if hours := rapid.IntRange(-1, 5).Draw(t, "hours"); hours != 0 {
					entry.Until = clock.Now().Add(time.Duration(hours) * time.Hour).Truncate(time.Hour)
				}
				keep(t, m, entry)
				if !entry.Until.IsZero() && !clock.Now().Before(entry.Until) {
					return
				}
				if have, is := model[n]; is && (have.Until.IsZero() || clock.Now().Before(have.Until)) {
					entry.Cause = max(entry.Cause, have.Cause)
					if have.Until.IsZero() || !entry.Until.IsZero() && have.Until.After(entry.Until) {
						entry.Until = have.Until
					}
				}
				model[n] = entry
			},
			"wait":    func(*rapid.T) { clock.Step(time.Hour) },
			"restart": func(*rapid.T) { m = newMemory(c, clock) },
			"tidy": func(t *rapid.T) {
				if err := m.Tidy(context.Background()); err != nil {
					t.Fatal(err)
				}
			},
			"": func(*rapid.T) { check() },
		})
	})
}

// Ten thousand deletions are a few writes, of bounded Secrets, and repeating them none.
func TestMemoryBatchesWrites(t *testing.T) {
	var writes, largest atomic.Int64
	count := func(object client.Object) {
		writes.Add(1)
		if secret, ok := object.(*corev1.Secret); ok {
			largest.Store(max(largest.Load(), int64(len(secret.Data[entriesData]))))
		}
	}
	c := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			count(object)
			return c.Create(ctx, object, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch,
			options ...client.PatchOption) error {
			count(object)
			return c.Patch(ctx, object, patch, options...)
		},
	})
	m := newMemory(c, clocktesting.NewFakeClock(start))
	m.limiter = nil // as in production
	const keys = 10_000
	var entries []Entry
	for n := range keys {
		entries = append(entries, Entry{Digest: digestOf(n), Cause: Ended})
		if _, err := m.Remember(t.Context(), entries[n]); err != nil {
			t.Fatal(err)
		}
	}
	keep(t, m, entries...)
	if n, secrets := m.Size(); n != keys || secrets != 3 {
		t.Errorf("%d entries in %d Secrets", n, secrets)
	}
	if writes.Load() > 50 || largest.Load() > 100<<10 {
		t.Errorf("%d writes, the largest of %d bytes", writes.Load(), largest.Load())
	}
	before := writes.Load()
	fresh := newMemory(c, clocktesting.NewFakeClock(start))
	keep(t, fresh, entries...)
	if err := fresh.Tidy(t.Context()); err != nil || writes.Load() != before {
		t.Errorf("entries that are kept were written again: %v", err)
	}
}

// Two leaders at the same time, as after a partition, lose no entry of each other.
func TestTwoLeadersKeepEachOthersEntries(t *testing.T) {
	c, clock := fake.NewClientBuilder().Build(), clocktesting.NewFakeClock(start)
	one, two := newMemory(c, clock), newMemory(c, clock)
	keep(t, one, Entry{Digest: digestOf(0), Cause: Ended})
	keep(t, two, Entry{Digest: digestOf(1), Cause: Ended})
	keep(t, one, Entry{Digest: digestOf(2), Cause: Ended})
	fresh := newMemory(c, clock)
	for n := range 3 {
		if _, known, err := fresh.Recall(t.Context(), digestOf(n)); !known || err != nil {
			t.Errorf("%d is forgotten: %v", n, err)
		}
	}
}

// No entry counts as kept while it cannot be written.
func TestMemoryThatCannotBeWritten(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	c := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if refuse.Load() {
				return errors.New("no")
			}
			return c.Create(ctx, object, options...)
		},
	})
	m := newMemory(c, clocktesting.NewFakeClock(start))
	entry := Entry{Digest: digestOf(0), Cause: Ended}
	for range 3 {
		if done, err := m.Remember(t.Context(), entry); done || err != nil {
			t.Fatalf("kept %v, %v", done, err)
		}
		if _, known, err := m.Recall(t.Context(), entry.Digest); !known || err != nil {
			t.Fatalf("it is not known while it is pending: %v", err)
		}
	}
	refuse.Store(false)
	keep(t, m, entry)
}

func TestDecodeRefuses(t *testing.T) {
	random := make([]byte, 100)
	_, _ = rand.Read(random)
	for _, encoded := range [][]byte{nil, {}, {2}, append([]byte{1}, random[:entryBytes-1]...)} {
		if err := decode(encoded, func(id, fact) {}); !errors.Is(err, errForm) {
			t.Errorf("%x is accepted: %v", encoded, err)
		}
	}
}
