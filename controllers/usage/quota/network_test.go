package quota_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	serverquota "github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/decision"
)

const acme, limitedKey = "tenants/acme", "k1"

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// network has real validation servers and leaders, and simulates everything between them.
type network struct {
	t       failer
	clock   *clocktesting.FakeClock
	store   *memory
	leaders []*quota.Aggregator // more than one while an old leader has not noticed the new one
	servers []*server
	started int
	quota   uint64
	group   *decision.Group
	// schedule is when periods begin.
	schedule quotaledger.Schedule

	admitted, crashed uint64
	// ofKey are the requests of the key with a quota of its own: how many it may have, and how many were admitted.
	ofKey struct{ quota, admitted uint64 }
}

type server struct {
	name    string
	tracker *serverquota.Tracker
	stream  *stream
	strays  []*stream // whose end the leader has not noticed
	closing bool
}

// stream is a connection: the messages in transit, in both directions.
type stream struct {
	leader  int
	session connection
	up      []*syncv1.QuotaReport
	down    []*syncv1.Allowances
}

// connection is a stream with its session.
type connection struct {
	*quota.Session

	session *session.Session
}

func (c connection) Close() {
	c.session.Disconnect(session.EveryGroup())
	c.Session.Close()
}

// connect connects one run of a server.
func connect(a *quota.Aggregator, instance, incarnation string, serves func(string) (bool, bool)) connection {
	s := a.Sessions().Connect(session.Server{
		Run: session.Run{ID: session.ID{Instance: instance}, Incarnation: incarnation}, Serves: serves,
		Has: func(group string) bool { is, _ := serves(group); return is },
	})
	return connection{a.Connect(s), s}
}

func newNetwork(t failer, requests uint64) *network {
	n := &network{
		t: t, clock: clocktesting.NewFakeClock(start), store: newMemory(), quota: requests,
		group: &decision.Group{Identity: acme, Limits: decision.Limits{RequestQuota: true, DenyUnknown: true}},
	}
	n.leaders = []*quota.Aggregator{n.newLeader()}
	return n
}

func (n *network) newLeader() *quota.Aggregator {
	a := n.newAggregator()
	a.SetLimits(acme, n.limits())
	n.readKeys(a)
	return a
}

// readKeys has a leader read which keys there are.
func (n *network) readKeys(a *quota.Aggregator) {
	requests := n.ofKey.quota
	a.SetKeyLimit(acme, limitedKey, &requests)
	a.KeysRead()
}

func (n *network) newAggregator() *quota.Aggregator {
	return quota.New(quota.Config{
		Store: n.store, Sessions: session.NewRegistry(n.clock, 0), Clock: n.clock, Log: logr.Discard(), Writes: rate.Inf, StartupGrace: 5 * time.Second, Grace: 5 * time.Second,
	})
}

func (n *network) limits() quota.Limits {
	return quota.Limits{Requests: &n.quota, Schedule: n.schedule}
}

func (n *network) setQuota(requests uint64) {
	n.quota = requests
	for _, leader := range n.leaders {
		leader.SetLimits(acme, quota.Limits{Requests: &requests, Schedule: n.schedule})
	}
}

func (n *network) add() {
	n.started++
	tracker := serverquota.New(prometheus.NewRegistry())
	tracker.SetKeyQuotas(true)
	n.servers = append(n.servers, &server{name: fmt.Sprintf("server-%d", n.started%3), tracker: tracker})
}

func (n *network) connect(s *server, leader int) {
	n.disconnect(s)
	session := connect(n.leaders[leader], s.name, s.tracker.Incarnation(), func(group string) (bool, bool) { return group == acme, true })
	s.stream = &stream{leader: leader, session: session}
	s.stream.up = []*syncv1.QuotaReport{{Groups: s.tracker.Due(n.clock.Now(), true)}}
}

// disconnect ends the server's stream; the leader may still receive the messages in transit.
func (n *network) disconnect(s *server) {
	if s.stream != nil {
		s.stream.down = nil
		s.strays = append(s.strays, s.stream)
		s.stream = nil
	}
}

func (n *network) request(s *server) decision.Code { return n.ask(s, 1) }

// ask makes a request that counts as so many.
func (n *network) ask(s *server, cost uint64) decision.Code {
	code, _ := s.tracker.Spend(context.Background(), n.group, "", cost, n.clock.Now())
	if code == decision.Allowed {
		n.admitted += cost
	}
	return code
}

// askKey is ask with the key that has a quota of its own.
func (n *network) askKey(s *server, cost uint64) decision.Code {
	code, _ := s.tracker.Spend(context.Background(), n.group, limitedKey, cost, n.clock.Now())
	if code == decision.Allowed {
		n.admitted += cost
		n.ofKey.admitted += cost
	}
	return code
}

func (n *network) setKeyQuota(requests uint64) {
	n.ofKey.quota = requests
	for _, leader := range n.leaders {
		n.readKeys(leader)
	}
}

func (n *network) report(s *server, all bool) {
	if s.stream == nil {
		return
	}
	groups := s.tracker.Urgent(n.clock.Now())
	if all {
		groups = s.tracker.Due(n.clock.Now(), false)
	}
	s.stream.up = append(s.stream.up, &syncv1.QuotaReport{Groups: groups})
}

func reportOf(period string, requests uint64) *syncv1.QuotaReport {
	return &syncv1.QuotaReport{Groups: []*syncv1.GroupUse{{Group: acme, Period: period, Requests: requests}}}
}

func (st *stream) deliverUp(t failer, again bool) {
	if len(st.up) == 0 {
		return
	}
	st.session.Report(st.up[0])
	if !again {
		st.up = st.up[1:]
	}
}

// pump delivers all messages until there are none.
func (n *network) pump() {
	for range 50 {
		n.passOn()
	}
}

// passOn delivers a report of each server, and its answer.
func (n *network) passOn() {
	for _, s := range n.servers {
		if s.stream == nil {
			n.connect(s, 0)
		}
		n.report(s, true)
		for len(s.stream.up) > 0 {
			s.stream.deliverUp(n.t, false)
		}
	}
	n.leaders[0].PersistAll(context.Background())
	for _, s := range n.servers {
		s.tracker.Allow(s.stream.session.Take(), n.clock.Now())
	}
}

// round delivers a server's report to its leader and the answer back, or only part of that.
func (n *network) round(t *rapid.T, s *server) {
	if s.stream == nil {
		n.connect(s, rapid.IntRange(0, len(n.leaders)-1).Draw(t, "leader"))
	}
	way := rapid.IntRange(1, 9).Draw(t, "way")
	n.report(s, rapid.Bool().Draw(t, "all"))
	for way > 1 && len(s.stream.up) > 0 {
		s.stream.deliverUp(n.t, false)
	}
	if way > 2 {
		n.leaders[s.stream.leader].PersistAll(context.Background())
	}
	if way > 3 {
		s.stream.down = append(s.stream.down, s.stream.session.Take())
	}
	for way > 4 && len(s.stream.down) > 0 {
		s.tracker.Allow(s.stream.down[0], n.clock.Now())
		s.stream.down = s.stream.down[1:]
	}
}

// cross has two reports of a server in transit when the first is answered: the second, which was made before the answer, must
// not revert anything of it.
func (n *network) cross(s *server, requests int) {
	if s.stream == nil {
		n.connect(s, 0)
	}
	for range requests {
		n.request(s)
	}
	n.report(s, true)
	n.report(s, true)
	for range 2 {
		s.stream.deliverUp(n.t, false)
		n.leaders[s.stream.leader].PersistAll(context.Background())
	}
	s.stream.down = append(s.stream.down, s.stream.session.Take())
}

// replace starts a new leader; the old one may go on for a while.
func (n *network) replace(overlap bool) {
	for _, s := range n.servers {
		if s.stream != nil && !overlap {
			n.disconnect(s)
		}
		s.strays = nil
	}
	if overlap {
		n.leaders = []*quota.Aggregator{n.newLeader(), n.leaders[0]}
		for _, s := range n.servers {
			if s.stream == nil {
				continue
			}
			if s.stream.leader == 1 {
				n.disconnect(s)
				s.strays = nil
				continue
			}
			s.stream.leader = 1
		}
		return
	}
	n.leaders = []*quota.Aggregator{n.newLeader()}
}

// crash ends a server without a goodbye.
func (n *network) crash(i int) {
	s := n.servers[i]
	n.disconnect(s)
	for _, stray := range s.strays {
		stray.session.Close()
	}
	n.crashed++
	n.servers = append(n.servers[:i], n.servers[i+1:]...)
}

// TestExact: with any messages lost, late or duplicated, and any crashes, never more than the quota is admitted, of the group or of a
// key that has one of its own; and if no server has crashed, exactly the quota is admitted and counted.
func TestExact(t *testing.T) {
	for range 5 { // some failures need many coincidences
		rapid.Check(t, exact)
	}
}

func exact(t *rapid.T) {
	n := newNetwork(t, uint64(rapid.IntRange(0, 100).Draw(t, "quota")))
	n.setKeyQuota(rapid.Uint64Range(0, 60).Draw(t, "quota of the key"))
	n.add()
	pick := func(t *rapid.T) *server {
		if len(n.servers) == 0 {
			n.add()
		}
		return n.servers[rapid.IntRange(0, len(n.servers)-1).Draw(t, "server")]
	}
	t.Repeat(map[string]func(*rapid.T){
		"requests": func(t *rapid.T) {
			s := pick(t)
			for range rapid.IntRange(1, 40).Draw(t, "n") {
				n.request(s)
			}
		},
		"round": func(t *rapid.T) { n.round(t, pick(t)) },
		"costly requests": func(t *rapid.T) {
			s := pick(t)
			for range rapid.IntRange(1, 5).Draw(t, "n") {
				n.ask(s, rapid.Uint64Range(0, 30).Draw(t, "cost"))
			}
		},
		"requests of the key": func(t *rapid.T) {
			s := pick(t)
			for range rapid.IntRange(1, 20).Draw(t, "n") {
				n.askKey(s, rapid.SampledFrom([]uint64{1, 1, 1, 0, 2, 7}).Draw(t, "cost"))
			}
		},
		"raise the key's": func(t *rapid.T) { n.setKeyQuota(n.ofKey.quota + rapid.Uint64Range(0, 10).Draw(t, "by")) },
		"a leader that has read no keys": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "rarely") == 0 {
				n.replace(false)
				n.leaders[0] = n.newAggregator()
				n.leaders[0].SetLimits(acme, n.limits())
			}
		},
		"keys are read": func(*rapid.T) { n.setKeyQuota(n.ofKey.quota) },
		"busy round": func(t *rapid.T) {
			s := pick(t)
			for range rapid.IntRange(1, 40).Draw(t, "n") {
				n.request(s)
			}
			n.round(t, s)
		},
		"crossing": func(t *rapid.T) { n.cross(pick(t), rapid.IntRange(1, 40).Draw(t, "n")) },
		"start": func(t *rapid.T) {
			if len(n.servers) < 5 {
				n.add()
			}
		},
		"connect":    func(t *rapid.T) { n.connect(pick(t), rapid.IntRange(0, len(n.leaders)-1).Draw(t, "leader")) },
		"disconnect": func(t *rapid.T) { n.disconnect(pick(t)) },
		"report":     func(t *rapid.T) { n.report(pick(t), rapid.Bool().Draw(t, "all")) },
		"deliver up": func(t *rapid.T) {
			if s := pick(t); s.stream != nil {
				s.stream.deliverUp(n.t, rapid.IntRange(0, 4).Draw(t, "again") == 0)
			}
		},
		"deliver late": func(t *rapid.T) {
			if s := pick(t); len(s.strays) > 0 {
				s.strays[0].deliverUp(n.t, false)
			}
		},
		"notice": func(t *rapid.T) {
			if s := pick(t); len(s.strays) > 0 {
				s.strays[0].session.Close()
				s.strays = s.strays[1:]
			}
		},
		"persist": func(t *rapid.T) {
			leader := n.leaders[rapid.IntRange(0, len(n.leaders)-1).Draw(t, "leader")]
			n.store.before, n.store.after = rapid.IntRange(0, 9).Draw(t, "fails") == 0, rapid.IntRange(0, 9).Draw(t, "seems to fail") == 0
			leader.PersistAll(context.Background())
			n.store.before, n.store.after = false, false
		},
		"send": func(t *rapid.T) {
			if s := pick(t); s.stream != nil {
				s.stream.down = append(s.stream.down, s.stream.session.Take())
			}
		},
		"deliver down": func(t *rapid.T) {
			if s := pick(t); s.stream != nil && len(s.stream.down) > 0 {
				s.tracker.Allow(s.stream.down[0], n.clock.Now())
				s.stream.down = s.stream.down[1:]
			}
		},
		"everything": func(t *rapid.T) {
			if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
				n.pump()
			}
		},
		"close": func(t *rapid.T) {
			if s := pick(t); rapid.IntRange(0, 3).Draw(t, "rarely") == 0 {
				s.tracker.Close()
				s.closing = true
			}
		},
		"replace leader": func(t *rapid.T) {
			if rapid.IntRange(0, 2).Draw(t, "rarely") == 0 {
				n.replace(rapid.IntRange(0, 3).Draw(t, "crash") > 0)
			}
		},
		"crash": func(t *rapid.T) {
			if s := pick(t); rapid.IntRange(0, 5).Draw(t, "rarely") == 0 {
				for i := range n.servers {
					if n.servers[i] == s {
						n.crash(i)
						return
					}
				}
			}
		},
		"raise": func(t *rapid.T) { n.setQuota(n.quota + uint64(rapid.IntRange(0, 20).Draw(t, "by"))) },
		"time":  func(t *rapid.T) { n.clock.Step(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second) },
		"": func(t *rapid.T) {
			if n.admitted > n.quota {
				t.Fatalf("%d admitted of %d", n.admitted, n.quota)
			}
			if n.ofKey.admitted > n.ofKey.quota {
				t.Fatalf("%d of the key admitted of %d", n.ofKey.admitted, n.ofKey.quota)
			}
		},
	})
	n.finish(t)
}

// finish delivers everything, and uses up the quota.
func (n *network) finish(t *rapid.T) {
	n.replace(false)
	n.add()
	n.pump()
	n.clock.Step(10 * time.Second)
	n.finishKey(t)
	n.fits(t)
	used := 0
	for range 200 {
		n.pump()
		used = 0
		for _, s := range n.servers {
			if s.closing {
				used++
				continue
			}
			for n.request(s) == decision.Allowed {
			}
			if n.request(s) == decision.QuotaExceeded {
				used++
			}
		}
		if used == len(n.servers) {
			break
		}
	}
	n.pump()
	switch {
	case used != len(n.servers):
		t.Fatalf("%d of %d servers know that the quota is used up, with %d of %d admitted", used, len(n.servers), n.admitted, n.quota)
	case n.admitted > n.quota, n.crashed == 0 && n.admitted != n.quota:
		t.Fatalf("%d admitted of %d, %d servers crashed", n.admitted, n.quota, n.crashed)
	case n.crashed == 0 && n.store.requests != n.admitted && n.admitted > 0:
		t.Fatalf("%d counted of %d admitted", n.store.requests, n.admitted)
	case n.store.requests > n.admitted:
		t.Fatalf("%d counted of %d admitted", n.store.requests, n.admitted)
	}
	for _, s := range n.servers {
		if !s.tracker.Reported() {
			t.Fatalf("%s has not reported everything", s.name)
		}
	}
}

// finishKey uses up the quota of the key, for which there is enough left of the group's, unless servers have crashed. One server does
// so after the other: requests do not wait here, so what one needs of both quotas others would take from it.
func (n *network) finishKey(t *rapid.T) {
	n.setQuota(n.quota + n.ofKey.quota - n.ofKey.admitted)
	used := 0
	for _, s := range n.servers {
		for range 200 {
			code := n.askKey(s, 1)
			if code == decision.KeyQuotaExceeded || s.closing {
				used++
				break
			}
			if code != decision.Allowed {
				n.pump()
			}
		}
	}
	n.pump()
	is, counted := n.ofKey, n.store.ofKey.Requests
	switch {
	case is.admitted > is.quota, counted > is.admitted:
		t.Fatalf("%d of the key admitted of %d, %d counted", is.admitted, is.quota, counted)
	case n.crashed > 0:
	case used != len(n.servers), is.admitted != is.quota, counted != is.admitted:
		t.Fatalf("%d of the key admitted of %d, %d counted; %d of %d servers know that it is used up",
			is.admitted, is.quota, counted, used, len(n.servers))
	}
}

// fits checks that a request that costs all that is left is allowed, wherever it is, and that one that costs more is refused, which
// keeps nobody from anything.
func (n *network) fits(t *rapid.T) {
	if n.crashed > 0 || n.quota == n.admitted {
		return // it is not known what is left
	}
	open := slices.DeleteFunc(slices.Clone(n.servers), func(s *server) bool { return s.closing })
	for _, c := range []struct {
		more uint64
		want decision.Code
	}{{1, decision.QuotaExceeded}, {0, decision.Allowed}} {
		s := open[rapid.IntRange(0, len(open)-1).Draw(t, "server")]
		cost, code := n.quota-n.admitted+c.more, decision.QuotaUnavailable
		for range 200 { // a request that waits learns of each answer, before the server reports again that nothing waits
			if code = n.ask(s, cost); code != decision.QuotaUnavailable {
				break
			}
			n.passOn()
		}
		if code != c.want {
			t.Fatalf("a request for %d of %d is answered %v, want %v", cost, n.quota-n.admitted, code, c.want)
		}
	}
}

// failer is a test, or one run of a property.
type failer interface{ Fatal(args ...any) }
