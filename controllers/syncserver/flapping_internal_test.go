package syncserver

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const flapped = "tenants/acme"

// ledgers is a store in memory.
type ledgers struct {
	mu     sync.Mutex
	ledger *quotaledger.Ledger
}

func (l *ledgers) Load(context.Context, store.Key) (store.Entry, error) {
	return store.Entry{Ledger: l.saved()}, nil
}

func (l *ledgers) Save(_ context.Context, _ store.Key, entry store.Entry, _ store.Totals) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger = entry.Ledger.Clone()
	return "", nil
}

func (l *ledgers) saved() *quotaledger.Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ledger == nil {
		return &quotaledger.Ledger{}
	}
	return l.ledger.Clone()
}

// manager is everything in a manager that counts validation servers.
type manager struct {
	*service

	ledgers *ledgers
}

func newManager(t *testing.T) *manager {
	t.Helper()
	clk := clock.RealClock{}
	registry := session.NewRegistry(clk, 0)
	m := &manager{ledgers: &ledgers{}}
	aggregator := quota.New(quota.Config{Store: m.ledgers, Sessions: registry, Clock: clk, Log: logr.Discard(), Writes: rate.Inf})
	limit := uint64(1 << 40)
	aggregator.SetLimits(flapped, quota.Limits{Requests: &limit})
	m.service = &service{
		hub: publish.NewHub(clk, registry, publish.Options{}), usage: usage.NewTracker(clk, registry), quotas: aggregator,
		streams: newStreams(DefaultStreams), clock: clk, log: logr.Discard(),
	}
	running, stop := context.WithCancel(context.Background())
	var stopped sync.WaitGroup
	stopped.Go(func() { _ = aggregator.Start(running) })
	t.Cleanup(func() { stop(); stopped.Wait() })
	sessions.Store(registry)
	t.Cleanup(func() { sessions.Store(nil) })
	m.hub.PutGroup(&syncv1.Group{Namespace: "tenants", Name: "acme", Projects: []*syncv1.Project{{Name: "default"}}})
	m.putKey(0)
	m.hub.Open()
	return m
}

// putKey publishes the key, with a version of its own for each revision.
func (m *manager) putKey(revision int) (record *syncv1.Key) {
	one := keyformat.DigestOf("one")
	record = &syncv1.Key{Id: "k1", Group: flapped, Projects: make([]string, 1+revision%2), Versions: []*syncv1.Version{{Digest: one[:]}}}
	m.hub.PutKey(record, types.NamespacedName{Namespace: "web", Name: "k1"})
	return record
}

// connect connects the server, which catches up, and reports all that it reports.
func (m *manager) connect(t *testing.T, requests uint64) *connection {
	t.Helper()
	c := &connection{log: m.log}
	who := publish.Subscriber{Instance: "v", Identity: "tenants/validator", Incarnation: "one", Selection: publish.SelectGroups(flapped)}
	if err := m.register(c, "account", who); err != nil {
		t.Fatal(err)
	}
	m.catchUp(t, c)
	now, one := m.clock.Now().UnixMilli(), keyformat.DigestOf("one")
	month := quotaledger.MonthOf(m.clock.Now()).String()
	c.reporter.Report(&syncv1.VersionReport{ThroughMs: now, Versions: []*syncv1.VersionUse{{Digest: one[:], LastMs: now, Clients: []uint64{1}}}})
	c.keys.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{{Group: flapped, Key: "k1", Period: month, Requests: requests}}})
	c.quotas.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{{Group: flapped, Period: month, Requests: requests, Wants: 1}}})
	return c
}

func (m *manager) catchUp(t *testing.T, c *connection) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(t.Context())
		if c.subscription.CaughtUp() {
			cancel()
		}
		update, err := c.subscription.Next(ctx)
		cancel()
		if err != nil {
			return
		}
		c.subscription.Ack(update.GetRevision())
	}
}

// TestFlappingServerCountsOnce: a server whose connection breaks 1,000 times, noticed before it reconnects, after, or only after the next
// one has broken, is one server in status.enforcement, in what last use waits for, in the requests of keys, in quotas and in metrics, while
// it is connected and while it is not.
func TestFlappingServerCountsOnce(t *testing.T) {
	const times = 1000
	m := newManager(t)
	enforcement := func(record *syncv1.Key) publish.Enforcement {
		return m.hub.Enforcement(publish.Subject{Ref: publish.KeyRef("k1"), Group: flapped}, publish.RecordID(record))
	}
	counts := func(when string, i int, connected, absent float64) {
		t.Helper()
		record := m.putKey(0)
		if e := enforcement(record); e.Servers != 1 || len(e.Waiting)+len(e.Expired)+e.Acknowledged != 1 {
			t.Fatalf("%s %d: status.enforcement: %+v", when, i, e)
		}
		oldest := m.clock.Now().Add(-time.Hour)
		if report := m.usage.Of(flapped, nil, &oldest); float64(report.Servers) != connected || report.Through.IsZero() != (connected == 0) {
			t.Fatalf("%s %d: last use: %+v", when, i, report)
		}
		if n := m.hub.AbsentServers(flapped); float64(n) != absent {
			t.Fatalf("%s %d: %d servers are absent", when, i, n)
		}
		if c, a := testutil.ToFloat64(connectedServers), testutil.ToFloat64(absentServers); c != connected || a != absent {
			t.Fatalf("%s %d: metrics: %v connected, %v absent", when, i, c, a)
		}
	}
	requests := uint64(0)
	connect := func() *connection {
		requests += 10
		return m.connect(t, requests)
	}
	last := connect()
	for i := range times {
		counts("connected", i, 1, 0)
		switch i % 3 {
		case 0: // it reconnects after its stream has ended
			last.close(false)
			counts("disconnected", i, 0, 1)
			missed := m.putKey(1)
			if e := enforcement(missed); e.Servers != 1 || !slices.Equal(e.Expired, []string{"v"}) {
				t.Fatalf("a change that it misses, %d: %+v", i, e)
			}
			last = connect()
			if e := enforcement(missed); e.Servers != 1 || e.Acknowledged != 1 {
				t.Fatalf("when it is back, %d: %+v", i, e)
			}
		case 1: // before
			again := connect()
			last.close(false)
			last = again
		case 2: // and that stream ends before the end of the first is noticed
			connect().close(false)
			counts("disconnected", i, 0, 1)
			last.close(false)
			last = connect()
		}
		m.catchUp(t, last)
	}
	counts("in the end", times, 1, 0)

	if c := m.usage.Keys.Of(usage.KeyName{Group: flapped, ID: "k1"}, "", 0); c == nil || c.Requests != requests {
		t.Errorf("requests of the key: %+v, want %d", c, requests)
	}
	one := keyformat.DigestOf("one")
	if u := m.usage.Of(flapped, []keyformat.Digest{one}, nil).Of[0]; u.Clients != 1 {
		t.Errorf("last use: %+v", u)
	}
	deadline := time.After(time.Minute)
	for m.ledgers.saved().Total().Requests != requests {
		select {
		case <-last.quotas.Ready():
			last.quotas.Take()
		case <-deadline:
			t.Fatalf("%+v is persisted, want %d requests", m.ledgers.saved().Total(), requests)
		}
	}
	if runs := slices.Collect(maps.Keys(m.ledgers.saved().Servers)); len(runs) != 1 {
		t.Errorf("the ledger has the servers %v", runs)
	}
	last.close(true)
	if c, a := testutil.ToFloat64(connectedServers), testutil.ToFloat64(absentServers); c != 0 || a != 0 {
		t.Errorf("after its goodbye: %v connected, %v absent", c, a)
	}
	if e := enforcement(m.putKey(1)); e.Servers != 0 {
		t.Errorf("after its goodbye: %+v", e)
	}
}
