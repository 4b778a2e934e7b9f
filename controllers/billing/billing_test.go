package billing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/billing"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
	"github.com/keyward-dev/keyward/internal/billing/window"
)

// memory keeps outboxes in memory.
type memory struct {
	mu      sync.Mutex
	all     map[string]*v1alpha1.BillingOutbox
	checks  bool // resourceVersions are checked
	version int
}

func (m *memory) List(context.Context) ([]*v1alpha1.BillingOutbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*v1alpha1.BillingOutbox
	for _, o := range m.all {
		all = append(all, o.DeepCopy())
	}
	return all, nil
}

func (m *memory) Get(_ context.Context, name string) (*v1alpha1.BillingOutbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[name].DeepCopy(), nil
}

func (m *memory) Write(_ context.Context, o *v1alpha1.BillingOutbox) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	is := ""
	if m.all[o.Name] != nil {
		is = m.all[o.Name].ResourceVersion
	}
	if m.checks && o.ResourceVersion != is {
		return billing.ErrConflict
	}
	m.version++
	o.ResourceVersion = strconv.Itoa(m.version)
	m.all[o.Name] = o.DeepCopy()
	return nil
}

// label writes all outboxes, as kubectl label does.
func (m *memory) label() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.all {
		m.version++
		m.all[name].ResourceVersion = strconv.Itoa(m.version)
		m.all[name].Labels["team"] = "billing"
	}
}

func (m *memory) Delete(_ context.Context, o *v1alpha1.BillingOutbox) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, o.Name)
	return nil
}

// send sends what is in a Keeper to an engine, and acknowledges what was taken.
func send(t *testing.T, keeper *billing.Keeper, kind config.Type, to string, at time.Time) error {
	t.Helper()
	sink, sending, err := newSink(kind, to, clocktesting.NewFakePassiveClock(at))
	if err != nil {
		t.Fatal(err)
	}
	defer sending.Close()
	for {
		positions, err := keeper.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		log := string(group().UID)
		records, err := keeper.Read(t.Context(), log, positions[sink.Name][log], 1)
		if err != nil || len(records) == 0 {
			return err
		}
		if _, err := sending.Send(t.Context(), records); err != nil {
			return err
		}
		moved := map[string]sinks.Positions{sink.Name: {log: records[0].Sequence}}
		if left, err := keeper.Save(t.Context(), moved, nil); err != nil || len(left) > 0 {
			t.Fatal(left, err)
		}
	}
}

func start(t *testing.T, kept billing.Outboxes, groups billing.Groups, clk *clocktesting.FakeClock, receivers ...string) *billing.Keeper {
	t.Helper()
	keeper := billing.New(kept, groups, receivers, clk, funcr.New(func(_, args string) { t.Log(args) }, funcr.Options{}))
	go func() { _ = keeper.Start(t.Context()) }()
	if _, err := keeper.Load(t.Context()); err != nil { // when it is loaded
		t.Fatal(err)
	}
	return keeper
}

// TestUnreachable: a receiver that is unreachable for hours gets everything, another one at once.
func TestUnreachable(t *testing.T) {
	e := newEngines(t)
	e.all[config.Stripe].unreachable = true
	clk := clocktesting.NewFakeClock(begin.Add(66 * time.Minute))
	groups := &oneGroup{group: group(), usage: ledger(0)}
	kept := &memory{all: map[string]*v1alpha1.BillingOutbox{}}
	keeper := start(t, kept, groups, clk, "to-Stripe", "to-OpenMeter")
	for hour := range 5 {
		groups.mu.Lock()
		groups.usage = ledger(hour)
		groups.mu.Unlock()
		if err := keeper.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := send(t, keeper, config.OpenMeter, e.all[config.OpenMeter].server.URL, clk.Now()); err != nil {
			t.Fatal(err)
		}
		if err := send(t, keeper, config.Stripe, e.all[config.Stripe].server.URL, clk.Now()); err == nil {
			t.Fatal("it takes events while it is unreachable")
		}
		clk.SetTime(begin.Add(time.Duration(hour+2)*time.Hour + 6*time.Minute))
	}
	e.all[config.Stripe].unreachable = false
	if err := send(t, keeper, config.Stripe, e.all[config.Stripe].server.URL, clk.Now()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []config.Type{config.Stripe, config.OpenMeter} {
		if got, want := e.totals()[kind]["total_requests"], *ledger(4).Status.Months[0].Requests; got != want {
			t.Errorf("%s has %d, the ledger %d", kind, got, want)
		}
	}
	if all, _ := kept.List(t.Context()); len(all) != 1 || len(all[0].Spec.Windows) != 0 {
		t.Errorf("%+v", all)
	}
}

// TestLabelled: somebody who writes an outbox, as kubectl label does, does not keep it from being closed and acknowledged.
func TestLabelled(t *testing.T) {
	e := newEngines(t)
	clk := clocktesting.NewFakeClock(begin.Add(66 * time.Minute))
	groups := &oneGroup{group: group(), usage: ledger(0)}
	kept := &memory{all: map[string]*v1alpha1.BillingOutbox{}, checks: true}
	keeper := billing.New(kept, groups, []string{"to-Lago"}, clk, funcr.New(func(_, args string) { t.Log(args) }, funcr.Options{}))
	ctx, stop := context.WithCancel(t.Context())
	stop() // it reads the outboxes, and closes nothing on its own
	if err := keeper.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept.label()
	clk.SetTime(begin.Add(126 * time.Minute))
	groups.usage = ledger(1)
	if err := keeper.Look(t.Context()); !errors.Is(err, billing.ErrConflict) {
		t.Fatal("it overwrites what it has not read: ", err)
	}
	if err := keeper.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := send(t, keeper, config.Lago, e.all[config.Lago].server.URL, clk.Now()); err != nil {
		t.Fatal(err)
	}
	if got, want := e.totals()[config.Lago]["total_requests"], *ledger(1).Status.Months[0].Requests; got != want {
		t.Errorf("it is billed for %d, and has used %d", got, want)
	}
	if all, _ := kept.List(t.Context()); len(all) != 1 || all[0].Labels["team"] != "billing" {
		t.Errorf("the label is lost: %+v", all)
	}
}

// TestDeleted: the last window of a deleted Group is closed before its GroupUsage is let go, and its outbox stays until it is sent.
func TestDeleted(t *testing.T) {
	e := newEngines(t)
	clk := clocktesting.NewFakeClock(begin.Add(66 * time.Minute))
	groups := &oneGroup{group: group(), usage: ledger(0)}
	kept := &memory{all: map[string]*v1alpha1.BillingOutbox{}}
	keeper := start(t, kept, groups, clk, "to-Lago")
	if err := keeper.Look(t.Context()); err != nil || !groups.isHeld() {
		t.Fatal(err, groups.isHeld())
	}
	clk.SetTime(begin.Add(80 * time.Minute))
	groups.mu.Lock()
	groups.usage, groups.deleted = ledger(1), true
	groups.mu.Unlock()
	// By another leader, which knows nothing but what is persisted.
	keeper = start(t, kept, groups, clk, "to-Lago")
	if err := keeper.Look(t.Context()); err != nil || groups.isHeld() {
		t.Fatal(err, groups.isHeld())
	}
	if err := send(t, keeper, config.Lago, e.all[config.Lago].server.URL, clk.Now()); err != nil {
		t.Fatal(err)
	}
	if got, want := e.totals()[config.Lago]["total_requests"], *ledger(1).Status.Months[0].Requests; got != want {
		t.Errorf("it is billed for %d, and has used %d", got, want)
	}
	if err := keeper.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, _ := kept.List(t.Context()); len(all) != 0 {
		t.Errorf("its outbox is still there: %+v", all)
	}
}

// TestSecrets: what is wrong with a receiver is said without its credentials.
func TestSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(path, []byte("Authorization: Bearer sk_live_secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	parsed, err := config.ParseBilling([]byte(fmt.Sprintf(`{apiVersion: config.keyward.dev/v1alpha1, kind: BillingConfiguration, receivers: [
		{name: stripe, type: Stripe, url: "http://127.0.0.1:1/?token=url_secret", headersFile: %s, allowAddresses: [127.0.0.0/8]}]}`, path)))
	if err != nil {
		t.Fatal(err)
	}
	sink := parsed.Sinks[0]
	event := window.Event{Data: window.Data{Customer: "cus_1"}}
	event.Time.Time = begin
	body, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sending, err := sender.New(sink, clocktesting.NewFakePassiveClock(begin), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer sending.Close()
	_, err = sending.Send(t.Context(), []sinks.Record{{Body: body}})
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "secret") {
		t.Errorf("%v", err)
	}
}

// TestConfiguration: what is wrong in the file is said, and where.
func TestConfiguration(t *testing.T) {
	const head = "apiVersion: config.keyward.dev/v1alpha1\nkind: BillingConfiguration\nreceivers:\n- "
	for text, want := range map[string]string{
		"{name: a, type: Webhook, url: 'https://a.example.com'}":                             "supported values",
		"{name: a, type: Stripe}":                                                            "url: Required",
		"{name: a, type: Stripe, url: 'https://a.example.com', values: All}":                 "values",
		"{name: a, type: Lago, url: 'https://a.example.com', meterPrefix: 'a b'}":            "meterPrefix",
		"{name: a, type: OpenMeter, url: 'https://a.example.com', values: Delta}":            "it is for Stripe, Lago",
		"{name: a, type: OpenMeter, url: 'https://a.example.com', apiKey: x}":                "unknown field",
		"{name: a, type: Lago, url: 'https://a.example.com', groups: {matchLabels: {a: b}}}": "spec.billing",
	} {
		if _, err := config.ParseBilling([]byte(head + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	parsed, err := config.ParseBilling([]byte(head + "{name: a, type: Lago, url: 'https://a.example.com', batch: {maxEvents: 500}}"))
	if err != nil || parsed.Sinks[0].MaxEvents != 100 || parsed.Sinks[0].Patience <= 72*time.Hour || parsed.Sinks[0].Values != config.Delta {
		t.Errorf("%+v, %v", parsed, err)
	}
}

// TestLookInterval: a Keeper looks as often as its interval says.
func TestLookInterval(t *testing.T) {
	clk := clocktesting.NewFakeClock(begin.Add(66 * time.Minute))
	groups := &oneGroup{group: group(), usage: ledger(0)}
	kept := &memory{all: map[string]*v1alpha1.BillingOutbox{}}
	keeper := billing.New(kept, groups, []string{"to-Lago"}, clk, funcr.New(func(_, args string) { t.Log(args) }, funcr.Options{}))
	keeper.LookInterval = time.Second
	go func() { _ = keeper.Start(t.Context()) }()
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.After(time.Minute); !done(); {
			select {
			case <-deadline:
				t.Fatal(what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	await("the first look holds nothing", groups.isHeld)
	groups.mu.Lock()
	groups.deleted = true
	groups.mu.Unlock()
	clk.Step(time.Second)
	await("it does not look again after a second", func() bool { return !groups.isHeld() })
}
