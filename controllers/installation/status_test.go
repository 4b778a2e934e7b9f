package installation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/installation"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/internal/tier"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func server(name string, change ...func(*installation.Server)) installation.Server {
	s := installation.Server{Name: name, Identity: "edge/validator", Version: "v0.1.0", ConnectedSince: ago(time.Hour), Groups: 3}
	for _, f := range change {
		f(&s)
	}
	return s
}

func rejects(s *installation.Server) {
	s.Rejected, s.RejectionReason = 2, "field 99 is of a later release"
}
func lags(s *installation.Server) { s.BehindSince = ago(15 * time.Second) }
func gone(s *installation.Server) {
	s.ConnectedSince, s.DisconnectedSince = time.Time{}, ago(time.Hour)
}

func sink(name string, change ...func(*sinks.State)) installation.Sink {
	s := installation.Sink{State: sinks.State{Name: name, Type: "Webhook", Started: true, LastDelivered: ago(time.Minute)}, Sends: v1alpha1.SinkEvents}
	for _, f := range change {
		f(&s.State)
	}
	return s
}

func failing(reason sinks.Reason, message string) func(*sinks.State) {
	return func(s *sinks.State) {
		s.FailingSince, s.WaitingSince, s.Reason, s.Message = ago(time.Minute), ago(2*time.Minute), reason, message
	}
}

func statusOf(facts *installation.Facts) v1alpha1.InstallationStatus {
	return installation.StatusOf(&v1alpha1.InstallationStatus{}, facts, now)
}

func TestConditions(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	type says struct {
		status metav1.ConditionStatus
		reason string
		text   string
	}
	for name, test := range map[string]struct {
		facts                    installation.Facts
		ready, sinks, validators says
	}{
		"nothing there": {installation.Facts{}, says{yes, v1alpha1.ReasonReady, "no sinks"},
			says{yes, v1alpha1.ReasonNoSinks, "no sinks"}, says{yes, v1alpha1.ReasonNoServers, "no validation server"}},
		"all well": {installation.Facts{Servers: []installation.Server{server("a"), server("b")}, Sinks: []installation.Sink{sink("siem")}},
			says{yes, v1alpha1.ReasonReady, "2; sinks that take what they are sent: 1"}, says{yes, v1alpha1.ReasonDelivering, "1"},
			says{yes, v1alpha1.ReasonServersCurrent, "2"}},
		"a sink fails": {installation.Facts{Sinks: []installation.Sink{sink("siem", failing(sinks.ReasonStatus, "the receiver answers 500")), sink("ok")}},
			says{no, v1alpha1.ReasonSinksFailing, "do not take everything: siem; status.sinks"}, says{no, v1alpha1.ReasonSinksFailing, "do not take everything: siem; status.sinks"},
			says{yes, v1alpha1.ReasonNoServers, ""}},
		"sinks have not begun": {installation.Facts{Sinks: []installation.Sink{sink("siem", func(s *sinks.State) { s.Started = false })}},
			says{no, v1alpha1.ReasonStarting, "siem"}, says{no, v1alpha1.ReasonStarting, "siem"}, says{yes, v1alpha1.ReasonNoServers, ""}},
		"a server is gone": {installation.Facts{Servers: []installation.Server{server("a", gone), server("b")}},
			says{no, v1alpha1.ReasonServersGone, "had: a (edge/validator); let them"}, says{yes, v1alpha1.ReasonNoSinks, ""},
			says{no, v1alpha1.ReasonServersGone, "--sync-forget-after"}},
		"a server is behind, and another gone": {installation.Facts{Servers: []installation.Server{server("b", lags), server("a", gone)}},
			says{no, v1alpha1.ReasonServersBehind, "had: b (edge/validator); look"}, says{yes, v1alpha1.ReasonNoSinks, ""}, says{no, v1alpha1.ReasonServersBehind, "manager; others: 1 gone"}},
		"rejections come first": {installation.Facts{Servers: []installation.Server{server("c", rejects), server("b", lags), server("a", gone)},
			Sinks: []installation.Sink{sink("siem", failing(sinks.ReasonStatus, "x"))}},
			says{no, v1alpha1.ReasonServersRejecting, "others: 1 behind, 1 gone; sinks fail, too"}, says{no, v1alpha1.ReasonSinksFailing, ""},
			says{no, v1alpha1.ReasonServersRejecting, "c (edge/validator), which says \"field 99 is of a later release\"; update them"}},
	} {
		status := statusOf(&test.facts)
		for kind, want := range map[string]says{
			v1alpha1.ConditionReady: test.ready, v1alpha1.ConditionSinksDelivering: test.sinks, v1alpha1.ConditionValidatorsCurrent: test.validators,
		} {
			got := meta.FindStatusCondition(status.Conditions, kind)
			if got == nil || got.Status != want.status || got.Reason != want.reason || !strings.Contains(got.Message, want.text) {
				t.Errorf("%s: %s is %+v, want %+v", name, kind, got, want)
			}
		}
		expectKnown(t, status.Conditions)
	}
}

// TestAChangeOfLeader: servers that an earlier leader knew are not nobody, until one connects or they are forgotten.
func TestAChangeOfLeader(t *testing.T) {
	facts := func(leader string, servers ...installation.Server) *installation.Facts {
		return &installation.Facts{Leader: leader, LeadsSince: now, ForgetServersAfter: 24 * time.Hour, Servers: servers}
	}
	status := statusOf(facts("one", server("a")))
	for _, step := range []struct {
		what   string
		after  time.Duration
		facts  *installation.Facts
		reason string
	}{
		{"another leader", time.Minute, facts("two"), v1alpha1.ReasonServersLost},
		{"it looks again", time.Hour, facts("two"), v1alpha1.ReasonServersLost},
		{"they are forgotten", 24 * time.Hour, facts("two"), v1alpha1.ReasonNoServers},
		{"a server is back", 24 * time.Hour, facts("two", server("a")), v1alpha1.ReasonServersCurrent},
		{"it says goodbye", 24 * time.Hour, facts("two"), v1alpha1.ReasonNoServers},
		{"another leader, without servers before", time.Minute, facts("three"), v1alpha1.ReasonNoServers},
	} {
		status = installation.StatusOf(&status, step.facts, now.Add(step.after))
		got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionValidatorsCurrent)
		if got.Reason != step.reason || (got.Status == metav1.ConditionFalse) != (step.reason == v1alpha1.ReasonServersLost) {
			t.Errorf("%s: %+v", step.what, got)
		}
		expectKnown(t, status.Conditions)
	}
}

// expectKnown requires that the table of conditions has them.
func expectKnown(t *testing.T, all []metav1.Condition) {
	t.Helper()
	for _, c := range all {
		if !slices.ContainsFunc(conditions.Types(), func(of conditions.Type) bool {
			return of.Name == c.Type && slices.Contains(of.Kinds, conditions.Installation) &&
				slices.ContainsFunc(of.Reasons, func(r conditions.Reason) bool { return r.Name == c.Reason })
		}) {
			t.Errorf("the table of conditions does not have %+v", c)
		}
	}
}

// TestEveryFailureHasAHint: each reason for which a sink can fail has a reason of its own in the condition, and says what to do.
func TestEveryFailureHasAHint(t *testing.T) {
	seen := map[string]sinks.Reason{}
	for _, reason := range sinks.Reasons() {
		status := statusOf(&installation.Facts{Sinks: []installation.Sink{sink("siem", failing(reason, "what failed"))}})
		c := status.Sinks[0].Conditions[0]
		if c.Status != metav1.ConditionFalse || !strings.HasPrefix(c.Message, "what failed; since 2026-11-28T11:59:00Z it takes nothing: ") {
			t.Errorf("%s: %+v", reason, c)
		}
		if other, taken := seen[c.Reason]; taken {
			t.Errorf("%s and %s are both %s", reason, other, c.Reason)
		}
		seen[c.Reason] = reason
		expectKnown(t, status.Sinks[0].Conditions)
	}
	refusing := statusOf(&installation.Facts{Sinks: []installation.Sink{sink("siem", func(s *sinks.State) { s.Refusing = 2 })}})
	if c := refusing.Sinks[0].Conditions[0]; c.Reason != v1alpha1.ReasonEventsRefused || !strings.Contains(c.Message, "2 logs") {
		t.Errorf("%+v", c)
	}
}

// TestWhatServersSayIsQuoted: what a server says of itself cannot be taken for what Keyward says.
func TestWhatServersSayIsQuoted(t *testing.T) {
	for reason, want := range map[string]string{
		"x); all is well. (": "which says \"x); all is well. (\"; update", "a\nb": `which says "a\nb"; update`, "": "is for: c (edge/validator); update",
	} {
		message := meta.FindStatusCondition(statusOf(&installation.Facts{Servers: []installation.Server{
			server("c", func(s *installation.Server) { s.Rejected, s.RejectionReason = 1, reason }),
		}}).Conditions, v1alpha1.ConditionReady).Message
		if !strings.Contains(message, want) {
			t.Errorf("%q: %s", reason, message)
		}
	}
}

// TestMessagesOfSinks: what a message says of waiting, of patience and of refusals is so for the sink.
func TestMessagesOfSinks(t *testing.T) {
	idle := func(s *sinks.State) { failing(sinks.ReasonStatus, "x")(s); s.WaitingSince = time.Time{} }
	refusing := func(s *sinks.State) { s.Refusing = 2 }
	starting := func(s *sinks.State) { s.Started = false }
	for name, test := range map[string]struct {
		change func(*sinks.State)
		sends  v1alpha1.SinkContent
		want   string
	}{
		"nothing waits":              {idle, v1alpha1.SinkEvents, "nothing waits, it is tried with the next event"},
		"refused events":             {refusing, v1alpha1.SinkEvents, "refused for an hour is given up"},
		"refused usage":              {refusing, v1alpha1.SinkUsage, "refused for 72 hours is given up"},
		"refused in two logs":        {refusing, v1alpha1.SinkEvents, "refuses one event of each of 2 logs"},
		"events that have not begun": {starting, v1alpha1.SinkEvents, "read its ConfigMaps"},
		"usage that has not begun":   {starting, v1alpha1.SinkUsage, "read its BillingOutboxes"},
	} {
		of := sink("siem", test.change)
		of.Sends = test.sends
		if c := statusOf(&installation.Facts{Sinks: []installation.Sink{of}}).Sinks[0].Conditions[0]; !strings.Contains(c.Message, test.want) {
			t.Errorf("%s: %q", name, c.Message)
		}
	}
}

func TestServersOf(t *testing.T) {
	registry := session.NewRegistry(nowClock{}, 0)
	connect := func(name string) *session.Session {
		return registry.Connect(session.Server{Run: session.Run{ID: session.ID{Instance: name}, Incarnation: "1"}, Info: session.Info{Owner: "edge/v", Version: "v1"}})
	}
	of := func(name string, change ...func(*publish.Server)) publish.Server {
		s := publish.Server{Session: connect(name), Groups: 1}
		for _, f := range change {
			f(&s)
		}
		return s
	}
	absent := func(name string, since time.Duration) session.Absence {
		return session.Absence{ID: session.ID{Instance: name}, At: ago(since), ConnectedSince: ago(time.Hour)}
	}
	servers := installation.ServersOf([]publish.Server{
		of("fine"), of("quick", func(s *publish.Server) { s.BehindSince = ago(9 * time.Second) }),
		of("slow", func(s *publish.Server) { s.BehindSince = ago(11 * time.Second) }),
		of("old", func(s *publish.Server) { s.Rejected, s.RejectionReason = 1, "too new" }),
	}, []session.Absence{absent("reconnects", 50*time.Second), absent("gone", 61*time.Second), {ID: session.Others(), At: ago(time.Second)}}, now)
	shown := statusOf(&installation.Facts{Servers: servers}).Validators.Servers
	var got []string
	for _, s := range shown {
		got = append(got, fmt.Sprintf("%s behind=%t gone=%t", s.Name, s.BehindSince != nil, s.DisconnectedSince != nil))
	}
	want := []string{
		"old behind=false gone=false", "slow behind=true gone=false", "gone behind=false gone=true", "other servers behind=false gone=true",
		"fine behind=false gone=false", "quick behind=false gone=false", "reconnects behind=false gone=false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if s := shown[4]; s.Version != "v1" || s.Identity != "edge/v" || !s.ConnectedSince.Time.Equal(now) || *s.Groups != 1 {
		t.Errorf("%+v", s)
	}
}

type nowClock struct{}

func (nowClock) Now() time.Time                  { return now }
func (nowClock) Since(t time.Time) time.Duration { return now.Sub(t) }

// TestNeedsWrite: what moves on its own is no reason to write.
func TestNeedsWrite(t *testing.T) {
	base := func() *installation.Facts {
		return &installation.Facts{
			Version: "v0.1.0", Leader: "keyward-manager-0", Tiers: tier.Builtin(), Sinks: []installation.Sink{sink("siem")},
			Servers: []installation.Server{server("a"), server("b")},
		}
	}
	before := statusOf(base())
	for name, test := range map[string]struct {
		after time.Duration
		with  func(*installation.Facts)
		want  bool
	}{
		"nothing has changed":              {9 * time.Minute, func(*installation.Facts) {}, false},
		"a leader is there":                {10 * time.Minute, func(*installation.Facts) {}, true},
		"events were sent":                 {time.Minute, func(f *installation.Facts) { f.Sinks[0].LastDelivered = now }, false},
		"events wait":                      {time.Minute, func(f *installation.Facts) { f.Sinks[0].WaitingSince = now }, false},
		"events were sent for ten minutes": {10 * time.Minute, func(f *installation.Facts) { f.Sinks[0].LastDelivered = now }, true},
		"a sink fails":                     {time.Second, func(f *installation.Facts) { f.Sinks[0] = sink("siem", failing(sinks.ReasonTLS, "x")) }, true},
		"a server is gone":                 {time.Second, func(f *installation.Facts) { f.Servers = f.Servers[1:] }, true},
		"a server has another version":     {time.Second, func(f *installation.Facts) { f.Servers[0].Version = "v0.2.0" }, true},
		"another leader":                   {time.Second, func(f *installation.Facts) { f.Leader = "keyward-manager-1" }, true},
		"a tier less":                      {time.Second, func(f *installation.Facts) { f.Tiers = &tier.Catalogue{Tiers: f.Tiers.Tiers[1:]} }, true},
	} {
		facts := base()
		test.with(facts)
		after := installation.StatusOf(&before, facts, now.Add(test.after))
		if got := installation.NeedsWrite(&before, &after); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if !installation.NeedsWrite(&v1alpha1.InstallationStatus{}, &before) {
		t.Error("the first status is not written")
	}
}

// TestConditionsKeepTheirTransitions: a condition says since when it is so, of sinks too.
func TestConditionsKeepTheirTransitions(t *testing.T) {
	facts := &installation.Facts{Sinks: []installation.Sink{sink("siem", failing(sinks.ReasonTLS, "x"))}}
	before := statusOf(facts)
	after := installation.StatusOf(&before, facts, now.Add(time.Hour))
	for _, c := range append(after.Conditions, after.Sinks[0].Conditions...) {
		if !c.LastTransitionTime.Time.Equal(now) {
			t.Errorf("%s has changed at %s", c.Type, c.LastTransitionTime)
		}
	}
	if before.Sinks[0].Conditions[0].Message != after.Sinks[0].Conditions[0].Message {
		t.Error("a message that moves on its own would be written every time")
	}
}

// TestStatusIsBounded: of 10,000 hostile servers the object stays below 256 KiB, the counts are right, and the order of facts is no matter.
func TestStatusIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hostile := rapid.SampledFrom([]string{"a", "<", "\"", "é", "\u2028", "😀"})
		reason := strings.Repeat(hostile.Draw(t, "reason"), 256)
		count := rapid.SampledFrom([]int{0, 1, 199, 201, 10_000}).Draw(t, "servers")
		facts := &installation.Facts{Tiers: &tier.Catalogue{}}
		for i := range count {
			facts.Servers = append(facts.Servers, server(fmt.Sprintf("%0253d", i), func(s *installation.Server) {
				s.Identity, s.Version = strings.Repeat("x", 500), strings.Repeat("v", 64)
				s.Rejected, s.RejectionReason, s.BehindSince = 1, reason, now
			}))
		}
		for i := range 200 {
			facts.Tiers.Tiers = append(facts.Tiers.Tiers, tier.Builtin().Tiers[0])
			facts.Tiers.Tiers[i].Name = fmt.Sprintf("%063d", i)
		}
		for i := range 32 {
			facts.Sinks = append(facts.Sinks, sink(fmt.Sprintf("%040d", i), failing(sinks.ReasonTLS, strings.Repeat(hostile.Draw(t, "failure"), 1000))))
		}
		status := statusOf(facts)
		encoded, err := json.Marshal(&v1alpha1.Installation{Status: status})
		if err != nil || len(encoded) > 256<<10 {
			t.Fatalf("%d bytes, %v", len(encoded), err)
		}
		if int(*status.Validators.Connected) != count || int(*status.Validators.Rejecting) != count || len(status.Validators.Servers) > 200 ||
			len(status.Validators.Servers) < min(count, 60) {
			t.Fatalf("%d servers: %d connected, %d listed", count, *status.Validators.Connected, len(status.Validators.Servers))
		}
		slices.Reverse(facts.Sinks)
		slices.Reverse(facts.Servers)
		if again := statusOf(facts); !equality.Semantic.DeepEqual(again, status) {
			t.Fatal("the order of facts shows")
		}
	})
}

func TestTiers(t *testing.T) {
	catalogue := tier.Builtin()
	catalogue.Default = "Free"
	tiers := statusOf(&installation.Facts{Tiers: catalogue}).Tiers
	if len(tiers) != 6 || tiers[0].Name != "Free" || tiers[0].Default == nil || *tiers[0].Keys != 2 || *tiers[0].RequestsPerMonth != 1000 ||
		tiers[0].BytesPerMonth.String() != "1G" || tiers[1].Default != nil || !*tiers[5].AuditLog || tiers[5].Keys != nil {
		t.Errorf("%+v", tiers)
	}
}
