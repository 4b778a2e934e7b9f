package lifecycle_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// world is what a reconciler acts on: one key, its Secret, a process that has pending plaintexts until it dies, and the
// records of validation servers.
type world struct {
	in      lifecycle.Input
	now     time.Time
	texts   map[int64]keyformat.Key // what this process holds
	secret  *keyformat.Key
	claimed bool
	minted  int
	// imported is the digest of a version that is imported by it.
	imported string

	ended     map[int64]v1alpha1.VersionState
	published []v1alpha1.KeyVersion // what every server accepts by
}

// step runs one reconciliation. The process dies at the given point: 0 is before anything is recorded, 1 is after the Secret
// is written and before that is recorded; with any other it survives.
func (w *world) step(t *rapid.T, dies int) {
	w.look()
	out := lifecycle.Plan(w.in, w.now)
	w.check(t, out)
	switch out.Action {
	case lifecycle.Mint, lifecycle.Import:
		if dies == 0 {
			w.crash()
			return
		}
		w.record(t, &out)
	case lifecycle.Deliver:
		text, known := w.texts[out.Target]
		if !known {
			t.Fatalf("version %d is to be delivered, but its text is lost", out.Target)
		}
		if !accepted(w.published, text, w.now) && !w.blind() {
			t.Fatalf("version %d is delivered before every server accepts it", out.Target)
		}
		w.secret, w.claimed = &text, false
		if dies == 1 {
			w.crash()
			return
		}
		w.look()
		out = lifecycle.Plan(w.in, w.now)
		w.check(t, out)
		w.crash() // the text is lost
	case lifecycle.DeleteSecret:
		if v := byID(out.Versions, out.Target); v != nil && lifecycle.Live(v.State) && v.ClaimedAt == nil {
			t.Fatalf("version %d lost its Secret without a record", out.Target)
		}
		w.secret = nil
	case lifecycle.None, lifecycle.Publish, lifecycle.Keep:
	}
	if fmt.Sprint(w.in.Key.Status.Versions) != fmt.Sprint(out.Versions) {
		w.in.Published = false
	}
	lifecycle.SetHandled(&w.in.Key.Status, out.Versions)
	w.in.Key.Status.Versions, w.in.Key.Status.State = out.Versions, out.State
	// Only now: a process that died before has not sent its events.
	for i := range out.Versions {
		if v := &out.Versions[i]; !lifecycle.Live(v.State) {
			w.ended[v.ID] = v.State
		}
	}
}

// look reads the Secret in the way of the reconciler.
func (w *world) look() {
	if v := lifecycle.Current(w.in.Key.Status.Versions); v != nil && v.State == v1alpha1.VersionPending && v.Digest == w.imported {
		w.in.Pending, w.in.WithoutText = v.ID, true // as any process finds it in spec
	}
	w.in.Secret = lifecycle.Secret{Found: w.secret != nil, Claimed: w.claimed}
	if w.secret == nil {
		return
	}
	w.in.Secret.Digest = w.secret.Digest().String()
	w.in.Secret.Restorable = &v1alpha1.KeyVersion{ID: 1, Preview: w.secret.Preview(), MintedAt: metav1.Time{Time: w.now}}
}

func (w *world) record(t *rapid.T, out *lifecycle.Outcome) {
	w.minted++
	text, err := keyformat.Mint("kw", &counter{n: byte(w.minted), m: byte(w.minted >> 8)})
	if err != nil {
		t.Fatal(err)
	}
	out.Versions = append(out.Versions, lifecycle.NewVersion(w.in.Key, *out, text.Preview(), text.Digest().String(), w.now))
	w.texts = map[int64]keyformat.Key{out.Target: text}
	w.in.Pending, w.in.WithoutText = out.Target, false
	if out.Action == lifecycle.Import && lifecycle.ImportsDigest(w.in.Key) {
		w.texts, w.imported, w.in.WithoutText = nil, text.Digest().String(), true
	}
}

func (w *world) crash() { w.texts, w.in.Pending, w.in.WithoutText = nil, 0, false }

// acknowledge lets all servers take over what is recorded.
func (w *world) acknowledge() {
	w.published = nil
	for i := range w.in.Key.Status.Versions {
		w.published = append(w.published, *w.in.Key.Status.Versions[i].DeepCopy())
	}
	w.in.Published = len(w.published) > 0
}

// blind reports whether the servers refuse the key, with any versions.
func (w *world) blind() bool {
	return lifecycle.Revoked(w.in.Key) || ptr.Deref(w.in.Key.Spec.Suspended, false) || w.in.Group.Spec.State != v1alpha1.GroupActive ||
		lifecycle.Refusal(w.in.Key, w.in.Granted) != nil
}

// accepted reports whether servers with these versions accept the text, by their own clock.
func accepted(versions []v1alpha1.KeyVersion, text keyformat.Key, now time.Time) bool {
	for i := range versions {
		v := &versions[i]
		if v.Digest != text.Digest().String() {
			continue
		}
		over := v.ExpiresAt != nil && !now.Before(v.ExpiresAt.Time) || v.RetiresAt != nil && !now.Before(v.RetiresAt.Time)
		return v.State != v1alpha1.VersionRevoked && !over
	}
	return false
}

// check checks what must be true of every plan.
func (w *world) check(t *rapid.T, out lifecycle.Outcome) {
	live, ids := 0, map[int64]bool{}
	for i := range out.Versions {
		v := &out.Versions[i]
		if ids[v.ID] {
			t.Fatalf("version %d is there twice", v.ID)
		}
		ids[v.ID] = true
		if end, ended := w.ended[v.ID]; ended && v.State != end {
			t.Fatalf("version %d came back from %s as %s", v.ID, end, v.State)
		}
		if lifecycle.Live(v.State) {
			live++
			w.checkLive(t, v)
		}
		if v.Digest == w.imported && v.State == v1alpha1.VersionActive {
			if byID(w.published, v.ID) == nil && !w.blind() {
				t.Fatalf("version %d is active before every server accepts it", v.ID)
			}
			if v.ClaimedAt == nil {
				t.Fatalf("version %d is in no Secret, and counts as lost", v.ID)
			}
		}
	}
	if live > lifecycle.MaxRetiring+3 || len(out.Versions)-live > lifecycle.MaxEnded {
		t.Fatalf("%d live of %d versions", live, len(out.Versions))
	}
	making := out.Action == lifecycle.Mint || out.Action == lifecycle.Import
	if making && (ids[out.Target] || w.ended[out.Target] != "") {
		t.Fatalf("version %d is minted twice", out.Target)
	}
	if making && w.blind() {
		t.Fatalf("version %d is minted, and would be refused", out.Target)
	}
	refused := !lifecycle.Revoked(w.in.Key) && out.State != v1alpha1.KeyExpired && lifecycle.Refusal(w.in.Key, w.in.Granted) != nil
	if refused && (out.State != v1alpha1.KeyBlocked || out.Obstacle == nil || out.Action == lifecycle.Deliver) {
		t.Fatalf("a key that is refused is %s, action %v", out.State, out.Action)
	}
	if !refused && out.Obstacle != nil && out.Obstacle.Reason == v1alpha1.ReasonProjectNotFound {
		t.Fatalf("a key that goes on is stopped: %v", out.Obstacle)
	}
	if !out.Wake.IsZero() && !out.Wake.After(w.now) {
		t.Fatalf("the wake %v is over", out.Wake)
	}
	if again := lifecycle.Plan(w.in, w.now); !reflect.DeepEqual(again, out) {
		t.Fatalf("two plans of one input differ")
	}
}

func (w *world) checkLive(t *rapid.T, v *v1alpha1.KeyVersion) {
	if v.ExpiresAt != nil && !w.now.Before(v.ExpiresAt.Time) {
		t.Fatalf("version %d lives past its expiry", v.ID)
	}
	if lifecycle.Revoked(w.in.Key) {
		t.Fatalf("version %d of a revoked key is %s", v.ID, v.State)
	}
	if v.State != v1alpha1.VersionRetiring {
		return
	}
	if v.RetiresAt == nil || !w.now.Before(v.RetiresAt.Time) {
		t.Fatalf("version %d is in its overlap past %v", v.ID, v.RetiresAt)
	}
}

func byID(versions []v1alpha1.KeyVersion, id int64) *v1alpha1.KeyVersion {
	for i := range versions {
		if versions[i].ID == id {
			return &versions[i]
		}
	}
	return nil
}

// TestHistories generates lives of keys with arbitrary schedules, edits, crashes, losses, claims and clock jumps.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{in: input(), now: start, ended: map[int64]v1alpha1.VersionState{}}
		spec := &w.in.Key.Spec
		spec.Permissions = []v1alpha1.PermissionName{v1alpha1.PermissionRead}
		w.ask()
		spec.ExpiresAfter = "2h"
		spec.Rotation.Overlap = "10m"
		if rapid.Bool().Draw(t, "once") {
			spec.Secret.Reveal = v1alpha1.RevealOnce
		}
		spec.ImportFrom = rapid.SampledFrom([]*v1alpha1.ImportSource{nil, {}, {SHA256: "a hash"}}).Draw(t, "import")
		t.Repeat(map[string]func(*rapid.T){
			"reconcile":      func(t *rapid.T) { w.step(t, 2) },
			"die unrecorded": func(t *rapid.T) { w.step(t, 0) },
			"die delivered":  func(t *rapid.T) { w.step(t, 1) },
			"die idle":       func(*rapid.T) { w.crash() },
			"acknowledge":    func(*rapid.T) { w.acknowledge() },
			"lose Secret":    func(*rapid.T) { w.secret = nil },
			"lose status":    func(t *rapid.T) { w.loseStatus(t) },
			"claim":          func(*rapid.T) { w.claimed = w.secret != nil && spec.Secret.Reveal == v1alpha1.RevealOnce },
			"pass time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			},
			"clock back": func(*rapid.T) { w.now = w.now.Add(-time.Second) },
			"suspend":    func(t *rapid.T) { spec.Suspended = ptr.To(rapid.Bool().Draw(t, "suspended")) },
			"freeze": func(t *rapid.T) {
				w.in.Group.Spec.State = rapid.SampledFrom([]v1alpha1.GroupState{v1alpha1.GroupActive, v1alpha1.GroupFrozen}).Draw(t, "state")
			},
			"edit expiry": func(t *rapid.T) {
				spec.ExpiresAfter = rapid.SampledFrom([]v1alpha1.Lifetime{"1h", "2h", "3h"}).Draw(t, "expiresAfter")
			},
			"edit schedule": func(t *rapid.T) {
				spec.Rotation.Every = rapid.SampledFrom([]v1alpha1.Duration{"", "30m", "1h", "5h", "8d"}).Draw(t, "every")
				spec.Rotation.Window = rapid.SampledFrom([]*v1alpha1.RotationWindow{
					nil, {From: "13:00", To: "13:30"}, {Days: []v1alpha1.Weekday{"Sun"}, TimeZone: "Europe/Berlin"},
				}).Draw(t, "window")
			},
			"edit overlap": func(t *rapid.T) {
				spec.Rotation.Overlap = rapid.SampledFrom([]v1alpha1.Duration{"", "0s", "5m", "1h"}).Draw(t, "overlap")
			},
			"trigger": func(t *rapid.T) { spec.Rotation.Trigger = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "trigger") },
			"request": func(t *rapid.T) {
				w.in.Key.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: rapid.SampledFrom([]string{
					"", "a", "b", "c;overlap=0s", "d;overlap=2h", "e;overlap=soon",
				}).Draw(t, "request")}
			},
			"edit policy": func(t *rapid.T) {
				w.in.Group.Spec.KeyPolicy.MaxLifetime = rapid.SampledFrom([]v1alpha1.Duration{"", "10m", "90m", "3h"}).Draw(t, "maxLifetime")
			},
			"edit projects": func(t *rapid.T) {
				spec.Projects = rapid.SampledFrom([][]v1alpha1.ProjectName{{"default"}, {"default", "sales"}, {"sales"}}).Draw(t, "projects")
				w.ask()
			},
			"use": func(t *rapid.T) { w.use(t) },
			"revoke seldom": func(t *rapid.T) {
				if rapid.IntRange(0, 29).Draw(t, "dice") == 0 {
					spec.Revoked = ptr.To(true)
				}
			},
		})
		w.requireDelivery(t)
	})
}

// ask asks the Group for what the key declares.
func (w *world) ask() { w.in.Granted = grant.Grant(grant.ForKey(w.in.Key, nil), w.in.Group) }

// loseStatus is a restore from a backup without status, which happens rarely.
func (w *world) loseStatus(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "dice") > 0 || len(w.in.Key.Status.Versions) == 0 {
		return
	}
	w.crash()
	w.in.Key.Status, w.in.Published = v1alpha1.ApiKeyStatus{}, false
	w.ended, w.published, w.imported = map[int64]v1alpha1.VersionState{}, nil, ""
}

// use reports that versions were used, and that every server has reported.
func (w *world) use(t *rapid.T) {
	w.in.Key.Spec.Rotation.RetireWhenUnusedFor = rapid.SampledFrom([]v1alpha1.Duration{"", "1m"}).Draw(t, "unused")
	w.in.Usage.Through = w.now
	w.in.Usage.Of = map[string]lifecycle.Use{}
	for i := range w.in.Key.Status.Versions {
		if rapid.Bool().Draw(t, "used") {
			w.in.Usage.Of[w.in.Key.Status.Versions[i].Digest] = lifecycle.Use{Last: w.now, Clients: 1}
		}
	}
}

// requireDelivery requires that, when everything works and nothing changes, a healthy key reaches a delivered version that its
// Secret carries, or somebody has claimed, and that every server accepts.
func (w *world) requireDelivery(t *rapid.T) {
	w.in.Key.Spec.Suspended, w.in.Key.Spec.Projects = nil, []v1alpha1.ProjectName{v1alpha1.DefaultProject}
	w.ask()
	w.in.Group.Spec.State, w.in.Group.Spec.KeyPolicy.MaxLifetime = v1alpha1.GroupActive, ""
	w.in.Key.Spec.Rotation = v1alpha1.Rotation{Overlap: "1h"}
	for range 12 {
		w.look()
		if out := lifecycle.Plan(w.in, w.now); out.Action == lifecycle.None && out.State == v1alpha1.KeyPending && !out.Wake.IsZero() {
			w.now = out.Wake // it waits to replace a version that was lost soon after another
		}
		w.step(t, 2)
		w.acknowledge()
	}
	w.look()
	out := lifecycle.Plan(w.in, w.now)
	if out.State == v1alpha1.KeyRevoked || out.State == v1alpha1.KeyExpired {
		return
	}
	if out.State != v1alpha1.KeyActive {
		t.Fatalf("a healthy key is not delivered: %s %v", out.State, out.Obstacle)
	}
	current := lifecycle.Current(w.in.Key.Status.Versions)
	if current.State == v1alpha1.VersionRetiring || current.ClaimedAt != nil {
		return
	}
	if current.State != v1alpha1.VersionActive || w.secret == nil ||
		w.secret.Digest().String() != current.Digest || !accepted(w.published, *w.secret, w.now) {
		t.Fatalf("a healthy key is not delivered: %s, %v", out.State, states(w.in.Key.Status.Versions))
	}
}

// TestConsumersAreNotRefused: a consumer that reads its Secret at least once in an overlap is never refused, with any
// schedule and triggers, and whenever the manager dies.
func TestConsumersAreNotRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{in: input(), now: start, ended: map[int64]v1alpha1.VersionState{}}
		spec := &w.in.Key.Spec
		spec.ExpiresAfter = "2h"
		spec.Rotation = v1alpha1.Rotation{Every: "30m", Overlap: "10m"}
		for range 4 {
			w.step(t, 2)
			w.acknowledge()
		}
		text, read := *w.secret, w.now
		for range 200 {
			switch rapid.SampledFrom([]string{"reconcile", "reconcile", "acknowledge", "die", "die delivered", "trigger",
				"pass", "pass"}).Draw(t, "next") {
			case "reconcile":
				w.step(t, 2)
			case "acknowledge":
				w.acknowledge()
			case "die":
				w.crash()
			case "die delivered":
				w.step(t, 1)
			case "trigger":
				spec.Rotation.Trigger = fmt.Sprint(w.minted)
			case "pass":
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			}
			if w.now.Sub(read) > 9*time.Minute {
				text, read = *w.secret, w.now
			}
			current := lifecycle.Current(w.published)
			if current == nil || current.ExpiresAt != nil && !w.now.Before(current.ExpiresAt.Time) {
				return // the manager was not running for longer than a key lives
			}
			if !accepted(w.published, text, w.now) {
				t.Fatalf("refused: %v", w.published)
			}
		}
	})
}

// TestWakeIsExact: the plan does not change by time alone before the instant of Wake, and it changes at that instant.
func TestWakeIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := delivered(1, v1alpha1.VersionRetiring, -40*day)
		old.ReplacedAt, old.RetiresAt = at(0), at(day+time.Second)
		in := input(old, delivered(2, v1alpha1.VersionActive, 0))
		in.Secret = carrying(2)
		in.Key.Spec.Rotation.Every = rapid.SampledFrom([]v1alpha1.Duration{"", "30d", "80d"}).Draw(t, "every")
		in.Key.Spec.Rotation.Overlap = rapid.SampledFrom([]v1alpha1.Duration{"", "1h", "3d"}).Draw(t, "overlap")
		in.Usage.Of = map[string]lifecycle.Use{old.Digest: {Last: start.Add(time.Duration(rapid.IntRange(-10, 80).Draw(t, "hours")) * time.Hour)}}
		for now := start; ; {
			plan := lifecycle.Plan(in, now)
			if plan.Wake.IsZero() {
				if plan.State != v1alpha1.KeyExpired {
					t.Fatalf("no wake in state %s", plan.State)
				}
				return
			}
			in.Key.Status.Versions, in.Key.Status.State = plan.Versions, plan.State
			between := now.Add(time.Duration(rapid.Int64Range(0, int64(plan.Wake.Sub(now))-1).Draw(t, "between")))
			if before := lifecycle.Plan(in, between); summary(before) != summary(plan) {
				t.Fatalf("something changed before the wake: %s, then %s", summary(plan), summary(before))
			}
			if plan.Action == lifecycle.Mint {
				return
			}
			now = plan.Wake
		}
	})
}

func summary(out lifecycle.Outcome) string {
	return fmt.Sprint(states(out.Versions), out.Action, out.Expiring, out.Cutover != nil, out.State)
}

// counter is a reader of bytes that differ with each mint.
type counter struct{ n, m byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.n
	}
	p[0] = c.m
	return len(p), nil
}
