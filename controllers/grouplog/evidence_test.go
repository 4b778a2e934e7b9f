package grouplog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/specchange"
	"github.com/keyward-dev/keyward/internal/tier"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const acme = "tenants/acme"

// leader is a Writer that writes into a slice in place of the API.
type leader struct {
	*Writer
	chain *chain
	log   *[]groupevent.Event
}

// leads returns a new leader, which has read the log.
func leads(t *testing.T, clock *clocktesting.FakeClock, servers Servers, log *[]groupevent.Event) *leader {
	t.Helper()
	w := &Writer{Servers: servers, Clock: clock, Tiers: tier.Builtin()}
	c := w.newChain(groupevent.Group{Namespace: "tenants", Name: "acme", UID: "uid-1"})
	w.chains = map[types.UID]*chain{"uid-1": c}
	for i := range *log {
		c.note(&(*log)[i])
	}
	return &leader{w, c, log}
}

// write writes what is pending, and returns it.
func (l *leader) write() (written []groupevent.Event) {
	for _, event := range l.chain.pending {
		l.chain.note(&event)
		delete(l.chain.waiting, idOf(event.ID))
	}
	written, l.chain.pending = l.chain.pending, nil
	*l.log = append(*l.log, written...)
	return written
}

func (l *leader) looks(t *testing.T) []string {
	t.Helper()
	if err := l.LookAtServers(); err != nil {
		t.Fatal(err)
	}
	return summaries(l.write())
}

func summaries(events []groupevent.Event) (all []string) {
	for i := range events {
		server := struct{ Server string }{}
		_ = json.Unmarshal(events[i].Data, &server)
		name, _, _ := strings.Cut(server.Server, "@")
		all = append(all, strings.TrimPrefix(events[i].Type.Short(), "group.")+" "+name)
	}
	return all
}

func connect(r *session.Registry, instance string) *session.Session {
	return r.Connect(session.Server{
		Run:    session.Run{ID: session.ID{Instance: instance, Identity: "account"}, Incarnation: "one"},
		Serves: func(group string) (bool, bool) { return group == acme, true }, Has: func(group string) bool { return group == acme },
	})
}

func requireEvents(t *testing.T, got []string, expected ...string) {
	t.Helper()
	if !slices.Equal(got, expected) {
		t.Fatalf("%q, expected %q", got, expected)
	}
}

// TestServers: a server that is disconnected for longer than the bound is absent once, and back once, also under other leaders.
func TestServers(t *testing.T) {
	clock, log := clocktesting.NewFakeClock(noon), []groupevent.Event{}
	registry := session.NewRegistry(clock, 0)
	l := leads(t, clock, registry, &log)
	one, two, other := connect(registry, "one"), connect(registry, "two"), connect(registry, "other")
	requireEvents(t, l.looks(t))
	one.Disconnect(session.OneGroup(acme))
	other.Disconnect(session.OneGroup("tenants/other"))
	two.Goodbye()
	clock.Step(absentAfter - time.Second)
	requireEvents(t, l.looks(t)) // it may be back
	clock.Step(time.Second)
	requireEvents(t, l.looks(t), "server-absent one")
	if at := log[0].Time; !at.Equal(noon) || log[0].Subject.Name != "acme" || log[0].Subject.Kind != kindGroup {
		t.Errorf("%+v", log[0])
	}
	clock.Step(time.Hour)
	requireEvents(t, l.looks(t))

	// Another leads, to which the server has never connected; then it does.
	registry = session.NewRegistry(clock, 0)
	l = leads(t, clock, registry, &log)
	requireEvents(t, l.looks(t))
	clock.Step(time.Minute)
	one = connect(registry, "one")
	requireEvents(t, l.looks(t), "server-back one")
	requireEvents(t, l.looks(t))
	requireEvents(t, leads(t, clock, registry, &log).looks(t))
	clock.Step(time.Minute)
	one.Disconnect(session.EveryGroup())
	clock.Step(absentAfter)
	requireEvents(t, l.looks(t), "server-absent one")
	requireEvents(t, leads(t, clock, registry, &log).looks(t))
}

// TestServersComeAndGo: with any sequence of events and of leaders, each absence is followed by one return at most, and a return by an absence.
func TestServersComeAndGo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock, log := clocktesting.NewFakeClock(noon), []groupevent.Event{}
		registry := session.NewRegistry(clock, 0)
		l := leads(t, clock, registry, &log)
		connected := map[string]*session.Session{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "server")
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				if connected[name] == nil {
					connected[name] = connect(registry, name)
				}
			case 1:
				if s := connected[name]; s != nil {
					s.Disconnect(session.OneGroup(acme))
					delete(connected, name)
				}
			case 2:
				registry, connected = session.NewRegistry(clock, 0), map[string]*session.Session{}
				l = leads(t, clock, registry, &log)
			default:
				clock.Step(time.Duration(rapid.IntRange(1, 10).Draw(rt, "minutes")) * time.Minute)
			}
			if err := l.LookAtServers(); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "written") {
				l.write()
			}
		}
		l.write()
		ids, absent := map[string]bool{}, map[string]bool{}
		for i, what := range summaries(log) {
			kind, name, _ := strings.Cut(what, " ")
			if is := kind == "server-absent"; ids[log[i].ID] || absent[name] == is {
				rt.Fatalf("%s after %q", what, summaries(log[:i]))
			} else {
				absent[name] = is
			}
			ids[log[i].ID] = true
		}
	})
}

// TestServersAreBounded: servers that call themselves something else each time have few events.
func TestServersAreBounded(t *testing.T) {
	clock, log := clocktesting.NewFakeClock(noon.Add(-12*time.Hour)), []groupevent.Event{}
	registry := session.NewRegistry(clock, 24*time.Hour)
	l := leads(t, clock, registry, &log)
	for i := range 3 * session.MaxAbsentOfOne {
		connect(registry, fmt.Sprint(i)).Disconnect(session.OneGroup(acme))
		if i%500 == 0 {
			clock.Step(time.Minute)
			l.looks(t)
		}
	}
	for range 30 {
		clock.Step(absentAfter)
		l.looks(t)
	}
	if len(log) != maxAbsent+1 || !slices.Contains(summaries(log), "server-absent other servers") {
		t.Errorf("%q", summaries(log))
	}
	// Those that do not return make room a day later.
	registry = session.NewRegistry(clock, 0)
	l = leads(t, clock, registry, &log)
	clock.Step(25 * time.Hour)
	connect(registry, "later").Disconnect(session.EveryGroup())
	clock.Step(absentAfter)
	requireEvents(t, l.looks(t), "server-absent later")
}

// TestRefused: what is persisted is counted once an hour, once, and not while it is little; whoever leads.
func TestRefused(t *testing.T) {
	clock, log := clocktesting.NewFakeClock(noon), []groupevent.Event{}
	l := leads(t, clock, nil, &log)
	day := func(name string, refusals map[string]int64) v1alpha1.DayUsage {
		return v1alpha1.DayUsage{Day: name, TrafficCounts: v1alpha1.TrafficCounts{Refusals: refusals}}
	}
	var origins []traffic.Origin
	look := func(days ...v1alpha1.DayUsage) (all []string) {
		t.Helper()
		found := &evidence{group: l.chain.group}
		l.chain.refused.refused(found, days, origins, clock.Now())
		l.noteIn(l.chain, found)
		if found.err != nil {
			t.Fatal(found.err)
		}
		for _, event := range l.write() {
			all = append(all, string(event.Data))
		}
		return all
	}
	origins = []traffic.Origin{{Origin: "https://shop.example", Requests: 80}}
	requireEvents(t, look(day("2026-11-21", map[string]int64{"origin_denied": 99})))
	requireEvents(t, look(day("2026-11-21", map[string]int64{"origin_denied": 90, "key_expired": 10}), day("2026-11-18", map[string]int64{"key_expired": 1000})),
		`{"codes":[{"code":"origin_denied","ofDay":90,"requests":90},{"code":"key_expired","ofDay":10,"requests":10}],"day":"2026-11-21",`+
			`"origins":[{"origin":"https://shop.example","requests":80}],"requests":100}`)
	origins = nil
	more := day("2026-11-21", map[string]int64{"origin_denied": 300, "key_expired": 10})
	requireEvents(t, look(more)) // in the same hour
	clock.Step(time.Hour)
	l = leads(t, clock, nil, &log)
	requireEvents(t, look(more), `{"codes":[{"code":"origin_denied","ofDay":300,"requests":210}],"day":"2026-11-21","requests":210}`)
	requireEvents(t, look(more))
	clock.Step(12 * time.Hour)
	l = leads(t, clock, nil, &log)
	more.Refusals["origin_denied"] = 500
	requireEvents(t, look(day("2026-11-22", map[string]int64{"origin_denied": 100}), more),
		`{"codes":[{"code":"origin_denied","ofDay":100,"requests":100}],"day":"2026-11-22","requests":100}`,
		`{"codes":[{"code":"origin_denied","ofDay":500,"requests":200}],"day":"2026-11-21","requests":200}`)
	clock.Step(24 * time.Hour)
	requireEvents(t, look(more))
}

// TestRecordsRejected: a server that cannot use many records has one event in a day, and servers that call themselves something else each time have few.
func TestRecordsRejected(t *testing.T) {
	clock, log := clocktesting.NewFakeClock(noon), []groupevent.Event{}
	l := leads(t, clock, nil, &log)
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme", UID: "uid-1"}}
	look := func(key string, reason string, at time.Time, servers ...string) []string {
		t.Helper()
		object := keyNamed(key, noon)
		object.Status.Enforcement = &v1alpha1.Enforcement{}
		for _, server := range servers {
			object.Status.Enforcement.Rejecting = append(object.Status.Enforcement.Rejecting, v1alpha1.RejectingServer{Server: server, Reason: "/secret?path"})
		}
		object.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse, Reason: reason,
			LastTransitionTime: metav1.NewTime(at)}}
		found := ofKey(group, object)
		found.events = slices.DeleteFunc(found.events, func(e groupevent.Event) bool { return e.Type == groupevent.TypeKeyCreated })
		l.noteIn(l.chain, found)
		if found.err != nil {
			t.Fatal(found.err)
		}
		written := l.write()
		if l.chain.lacks(found.events, noon.Add(-time.Hour)) {
			t.Errorf("the key waits for what the log leaves out: %q", summaries(found.events))
		}
		for _, event := range written {
			if strings.Contains(string(event.Data), "secret") || event.Subject.Kind != kindGroup {
				t.Errorf("%+v", event)
			}
		}
		return summaries(written)
	}
	requireEvents(t, look("web", v1alpha1.ReasonRecordsRejected, noon, "old"), "records-rejected old")
	requireEvents(t, look("web", v1alpha1.ReasonRecordsRejected, noon, "old", "older"), "records-rejected older")
	requireEvents(t, look("app", v1alpha1.ReasonRecordsRejected, noon.Add(time.Hour), "old"))
	l = leads(t, clock, nil, &log)
	requireEvents(t, look("app", v1alpha1.ReasonRecordsRejected, noon.Add(time.Hour), "old"))
	requireEvents(t, look("app", v1alpha1.ReasonRecordsRejected, noon.Add(24*time.Hour), "old"), "records-rejected old")
	for i := range 100 {
		look("web", v1alpha1.ReasonRecordsRejected, noon, fmt.Sprint(i))
	}
	if len(log) != maxRejecting+1 {
		t.Errorf("%q", summaries(log))
	}
}

func keyNamed(name string, created time.Time) *v1alpha1.ApiKey {
	return &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{
		Namespace: "tenants", Name: name, UID: types.UID("uid of " + name), CreationTimestamp: metav1.NewTime(created),
	}}
}

// TestKeyLimit: a key that waits because there are too many is in the log once.
func TestKeyLimit(t *testing.T) {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme", UID: "uid-1"}}
	key := keyNamed("web", noon)
	key.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonKeyLimitReached, LastTransitionTime: metav1.NewTime(noon)}}
	events := ofKey(group, key).events
	if again := ofKey(group, key).events; len(events) != 2 || again[1].ID != events[1].ID || events[1].Subject.Name != "acme" ||
		string(events[1].Data) != `{"key":"web","limit":"keys","reason":"KeyLimitReached"}` {
		t.Errorf("%+v", events)
	}
	key.Status.Conditions[0].Reason = v1alpha1.ReasonGroupNotFound
	if events := ofKey(group, key).events; len(events) != 1 {
		t.Errorf("%+v", events)
	}
}

// TestHowOverlapsEnd: the log says whether an overlap ended on time, early because the version was not used any more, or because somebody
// ended it, and who.
func TestHowOverlapsEnd(t *testing.T) {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "tenants", Name: "acme", UID: "uid-1"}}
	at := func(after time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(noon.Add(after))) }
	shortened := []specchange.Change{{Generation: 4, Spec: true, At: noon.Add(20 * time.Minute), User: "joe",
		Fields: []specchange.Field{{Path: specchange.FieldOverlap, Before: "1h", After: "10m"}}}}
	for name, c := range map[string]struct {
		overlap, unusedFor v1alpha1.Duration
		retires            time.Duration // after its overlap began
		request            string
		changes            []specchange.Change
		revoked            bool
		cause              v1alpha1.VersionCause
		how, by            string
	}{
		"on time":             {overlap: "1h", retires: time.Hour + time.Second, how: groupevent.OverlapOnTime},
		"by default":          {retires: 24*time.Hour + time.Second, how: groupevent.OverlapOnTime},
		"without overlap":     {overlap: "0s", how: groupevent.OverlapOnTime},
		"early":               {overlap: "1h", unusedFor: "5m", retires: 10 * time.Minute, how: groupevent.OverlapEarly},
		"requested at once":   {overlap: "1h", request: "now;overlap=0s", how: groupevent.OverlapForced, by: "jane"},
		"requested shorter":   {overlap: "1h", request: "now;overlap=10m", retires: 10*time.Minute + time.Second, how: groupevent.OverlapForced, by: "jane"},
		"requested, early":    {overlap: "1h", request: "now;overlap=2h", retires: 10 * time.Minute, unusedFor: "5m", how: groupevent.OverlapEarly},
		"shortened meanwhile": {overlap: "10m", retires: 10*time.Minute + time.Second, how: groupevent.OverlapForced, by: "joe", changes: shortened},
		"the Secret was lost": {overlap: "1h", revoked: true, cause: v1alpha1.CauseReplaced, how: groupevent.OverlapForced},
	} {
		t.Run(name, func(t *testing.T) {
			key := keyNamed("web", noon.Add(-time.Hour))
			key.Spec.Rotation = v1alpha1.Rotation{Overlap: c.overlap, RetireWhenUnusedFor: c.unusedFor}
			first := v1alpha1.KeyVersion{ID: 1, State: v1alpha1.VersionRetired, MintedAt: *at(-time.Hour), DeliveredAt: at(-time.Hour),
				ReplacedAt: at(0), RetiresAt: at(c.retires)}
			if c.revoked {
				first.State, first.ReplacedAt, first.RetiresAt = v1alpha1.VersionRevoked, nil, nil
			}
			second := v1alpha1.KeyVersion{ID: 2, State: v1alpha1.VersionActive, Cause: c.cause, MintedAt: *at(-time.Second), DeliveredAt: at(0),
				RotateRequest: c.request}
			key.Status.Versions = []v1alpha1.KeyVersion{first, second}
			changes := c.changes
			if c.request != "" {
				changes = []specchange.Change{{Generation: 3, At: noon.Add(-time.Minute), User: "jane",
					Fields: []specchange.Field{{Path: specchange.FieldRequest, After: c.request}}}}
			}
			e := evidenceOf(group, kindKey, key)
			e.version(group, key, &key.Status.Versions[0], changes)
			last := e.events[len(e.events)-1]
			data := groupevent.KeyOverlapEnded{}
			if err := json.Unmarshal(last.Data, &data); err != nil || last.Type != groupevent.TypeKeyOverlapEnded || data.How != c.how || last.Actor.User != c.by {
				t.Errorf("%s by %q: %+v, %v", last.Data, last.Actor.User, last, err)
			}
		})
	}
}
