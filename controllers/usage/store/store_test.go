package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestStores tests what every store guarantees.
func TestStores(t *testing.T) {
	for _, kind := range []struct {
		name string
		open func(t *testing.T) (s store.Store, group func() string)
	}{{"objects", openObjects}, {"redis", openRedis}} {
		t.Run(kind.name, func(t *testing.T) {
			s, group := kind.open(t)
			t.Run("round trip", func(t *testing.T) { roundTrip(t, s, group) })
			t.Run("one writer wins", func(t *testing.T) { oneWins(t, s, group()) })
			t.Run("months", func(t *testing.T) { months(t, s, group()) })
		})
	}
}

var (
	last = quotaledger.PeriodFrom(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	this = quotaledger.PeriodFrom(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
)

// roundTrip writes any ledgers over each other and reads them back; only the latest version can be replaced.
func roundTrip(t *testing.T, s store.Store, group func() string) {
	counter := rapid.Uint64Range(0, quotaledger.Max)
	counts := rapid.Custom(func(t *rapid.T) quotaledger.Counters {
		return quotaledger.Counters{
			Leased: counter.Draw(t, "leased"), Sequence: counter.Draw(t, "sequence"), Requests: counter.Draw(t, "requests"),
			Spent:       counter.Draw(t, "spent"),
			Unconfirmed: counter.Draw(t, "unconfirmed"), Bytes: counter.Draw(t, "bytes"), Closed: rapid.Bool().Draw(t, "closed"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		key := store.Key{Group: group(), Period: this}
		entry := load(rt, s, key)
		if !entry.Ledger.Equal(&quotaledger.Ledger{}) {
			rt.Fatalf("a new one has %+v", entry.Ledger)
		}
		stale := entry.Version
		for range rapid.IntRange(1, 3).Draw(rt, "writes") {
			entry.Ledger = &quotaledger.Ledger{
				Servers: rapid.MapOfN(rapid.StringMatching(`[a-z0-9.-]{1,20}/[A-Z2-7]{26}`), counts, 0, 12).Draw(rt, "accounts"),
				Folded:  counts.Draw(rt, "folded"), Unattributed: counts.Draw(rt, "unattributed"),
			}
			version, err := s.Save(t.Context(), key, entry, store.Totals{Requests: 1})
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := s.Save(t.Context(), key, store.Entry{Ledger: entry.Ledger, Version: stale},
				store.Totals{}); !errors.Is(err, store.ErrConflict) {
				rt.Fatalf("with a stale version: %v", err)
			}
			stale = entry.Version
			got := load(rt, s, key)
			if got.Version != version || !got.Ledger.Equal(entry.Ledger) {
				rt.Fatalf("wrote %+v as %s, read %+v as %s", entry.Ledger, version, got.Ledger, got.Version)
			}
			entry = got
		}
	})
}

func load(t interface{ Fatal(args ...any) }, s store.Store, key store.Key) store.Entry {
	entry, err := s.Load(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// oneWins has many writers at the same time, each adding one to what it has read.
func oneWins(t *testing.T, s store.Store, group string) {
	const writers, each = 4, 5
	key := store.Key{Group: group, Period: this}
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for done := 0; done < each; {
				entry, err := s.Load(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				a := entry.Ledger.Servers["all"]
				a.Requests++
				entry.Ledger.Servers["all"] = a
				switch _, err := s.Save(t.Context(), key, entry, store.Totals{}); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	if got := load(t, s, key).Ledger.Servers["all"].Requests; got != writers*each {
		t.Errorf("%d of %d writes are there", got, writers*each)
	}
}

// months tests that the ledgers of this month and of the last are separate, whichever is written first.
func months(t *testing.T, s store.Store, group string) {
	for i, period := range []quotaledger.Period{last, this, last, this} {
		key := store.Key{Group: group, Period: period}
		entry := load(t, s, key)
		entry.Ledger = &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{"a": {Requests: uint64(10*i + 1)}}}
		if _, err := s.Save(t.Context(), key, entry, store.Totals{}); err != nil {
			t.Fatal(err)
		}
	}
	for period, want := range map[quotaledger.Period]uint64{last: 21, this: 31} {
		if got := load(t, s, store.Key{Group: group, Period: period}).Ledger.Total().Requests; got != want {
			t.Errorf("%s has %d, want %d", period, got, want)
		}
	}
}

func objects(admin client.Client) *store.Objects {
	return &store.Objects{Client: admin, Reader: admin, Groups: admin, Clock: clocktesting.NewFakePassiveClock(this.Begin().Add(time.Hour))}
}

func openObjects(t *testing.T) (store.Store, func() string) {
	admin := startAPI(t)
	n := 0
	s := objects(admin)
	missing := store.Key{Group: "default/missing", Period: this}
	if _, err := s.Load(t.Context(), missing); !errors.Is(err, store.ErrNoGroup) {
		t.Errorf("without a Group: %v", err)
	}
	many := &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}
	for i := range 255 {
		many.Servers[fmt.Sprint(i)] = quotaledger.Counters{Requests: 1}
	}
	if _, err := s.Save(t.Context(), missing, store.Entry{Ledger: many}, store.Totals{}); !errors.Is(err, store.ErrNoGroup) {
		t.Errorf("with as many accounts as fit: %v", err)
	}
	many.Servers["255"] = quotaledger.Counters{Requests: 1}
	if _, err := s.Save(t.Context(), missing, store.Entry{Ledger: many}, store.Totals{}); !errors.Is(err, store.ErrFull) ||
		!strings.Contains(err.Error(), "takes 255;") {
		t.Errorf("with too many accounts: %v", err)
	}
	return s, func() string {
		n++
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("group-%d", n)}}
		if err := admin.Create(context.Background(), group); err != nil {
			t.Fatal(err)
		}
		return client.ObjectKeyFromObject(group).String()
	}
}

func startAPI(t *testing.T) client.Client {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS is not set: make test does")
	}
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = environment.Stop() })
	config.QPS = -1
	admin, err := client.New(config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

func openRedis(t *testing.T) (store.Store, func() string) {
	address := startRedis(t, t.TempDir())
	s, err := store.OpenRedis("redis://"+address+"/0", "test:", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := store.OpenRedis("redis://user:secret@:x:y/0", "", clock.RealClock{}); err == nil || fmt.Sprint(err) == "" {
		t.Error("a malformed URL is taken")
	}
	n := 0
	return s, func() string {
		n++
		return fmt.Sprintf("default/group-%d", n)
	}
}

// startRedis starts a real Redis on a free port until the test is over.
func startRedis(t *testing.T, dir string) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed; see hack/install-gateways.sh")
	}
	address, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	redis := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "no")
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = redis.Process.Kill()
		_ = redis.Wait()
	})
	deadline := time.After(30 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			tick.Stop()
			_ = conn.Close()
			return address
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}
