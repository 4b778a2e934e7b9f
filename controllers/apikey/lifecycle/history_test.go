package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/keyformat"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey/lifecycle"
)

// world is what a reconciler acts on: one key, its Secret, and a process that holds texts
// until it dies.
type world struct {
	in     lifecycle.Input
	now    time.Time
	texts  map[int64]keyformat.Key // what this process holds
	secret *keyformat.Key
	ended  map[int64]v1alpha1.VersionState
	minted int
}

// step runs one reconciliation. It dies at the given point of it: 0 before anything is
// recorded, 1 after the Secret is written, and so not recorded; otherwise it lives.
func (w *world) step(t *rapid.T, dies int) {
	w.in.Secret = lifecycle.Secret{Found: w.secret != nil}
	if w.secret != nil {
		w.in.Secret.Digest = w.secret.Digest().String()
	}
	out := lifecycle.Plan(w.in, w.now)
	w.check(t, out)
	switch out.Action {
	case lifecycle.Mint:
		w.minted++
		text, err := keyformat.Mint("kw", &counter{n: byte(w.minted)})
		if err != nil {
			t.Fatal(err)
		}
		if dies == 0 {
			w.crash()
			return
		}
		out.Versions = append(out.Versions, lifecycle.NewVersion(out, text, w.now))
		w.texts = map[int64]keyformat.Key{out.Target: text}
		w.in.Held = out.Target
		w.in.Published = false
	case lifecycle.Deliver:
		text, held := w.texts[out.Target]
		if !held {
			t.Fatalf("version %d is to be delivered, but its text is gone", out.Target)
		}
		if !w.in.Published {
			t.Fatalf("version %d is delivered before every server accepts it", out.Target)
		}
		w.secret = &text
		if dies == 1 {
			w.crash()
			return
		}
		w.in.Secret = lifecycle.Secret{Found: true, Digest: text.Digest().String()}
		out = lifecycle.Plan(w.in, w.now)
		w.crash() // the text is no longer held
	case lifecycle.None, lifecycle.Publish, lifecycle.Keep:
	}
	w.in.Key.Status.Versions = out.Versions
}

func (w *world) crash() { w.texts, w.in.Held = nil, 0 }

// check holds what must be true of every plan.
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
		if !lifecycle.Live(v.State) {
			w.ended[v.ID] = v.State
			continue
		}
		live++
		if v.ExpiresAt != nil && !w.now.Before(v.ExpiresAt.Time) {
			t.Fatalf("version %d lives past its expiry", v.ID)
		}
		if lifecycle.Revoked(w.in.Key) {
			t.Fatalf("version %d of a revoked key is %s", v.ID, v.State)
		}
	}
	if live > 2 || len(out.Versions)-live > lifecycle.MaxEnded {
		t.Fatalf("%d live of %d versions", live, len(out.Versions))
	}
	if out.Action == lifecycle.Mint && (ids[out.Target] || w.ended[out.Target] != "") {
		t.Fatalf("version %d is minted twice", out.Target)
	}
	again := lifecycle.Plan(w.in, w.now)
	if fmt.Sprint(again) != fmt.Sprint(out) {
		t.Fatalf("two plans of one input differ")
	}
}

// TestHistories lets keys live through arbitrary edits, crashes, losses and clock jumps.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{in: input(), now: start, ended: map[int64]v1alpha1.VersionState{}}
		w.in.Key.Spec.ExpiresAfter = "2h"
		t.Repeat(map[string]func(*rapid.T){
			"reconcile":      func(t *rapid.T) { w.step(t, 2) },
			"die unrecorded": func(t *rapid.T) { w.step(t, 0) },
			"die delivered":  func(t *rapid.T) { w.step(t, 1) },
			"die idle":       func(*rapid.T) { w.crash() },
			"acknowledge":    func(*rapid.T) { w.in.Published = len(w.in.Key.Status.Versions) > 0 },
			"lose Secret":    func(*rapid.T) { w.secret = nil },
			"pass time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "minutes")) * time.Minute)
			},
			"clock back": func(*rapid.T) { w.now = w.now.Add(-time.Second) },
			"suspend":    func(t *rapid.T) { w.in.Key.Spec.Suspended = ptr.To(rapid.Bool().Draw(t, "suspended")) },
			"freeze": func(t *rapid.T) {
				w.in.Group.Spec.State = rapid.SampledFrom([]v1alpha1.GroupState{v1alpha1.GroupActive, v1alpha1.GroupFrozen}).Draw(t, "state")
			},
			"edit expiry": func(t *rapid.T) {
				w.in.Key.Spec.ExpiresAfter = rapid.SampledFrom([]v1alpha1.Lifetime{"1h", "2h", "3h"}).Draw(t, "expiresAfter")
			},
			"revoke seldom": func(t *rapid.T) {
				if rapid.IntRange(0, 19).Draw(t, "dice") == 0 {
					w.in.Key.Spec.Revoked = ptr.To(true)
				}
			},
		})
		w.settles(t)
	})
}

// settles: left alone with everything working, a healthy key ends up with one delivered
// version that its Secret carries.
func (w *world) settles(t *rapid.T) {
	w.in.Key.Spec.Suspended = nil
	w.in.Group.Spec.State = v1alpha1.GroupActive
	for range 6 {
		w.step(t, 2)
		w.in.Published = true
	}
	out := lifecycle.Plan(w.in, w.now)
	if out.State == v1alpha1.KeyRevoked || out.State == v1alpha1.KeyExpired {
		return
	}
	current := lifecycle.Current(w.in.Key.Status.Versions)
	if current == nil || current.State != v1alpha1.VersionActive || w.secret == nil || w.secret.Digest().String() != current.Digest {
		t.Fatalf("a healthy key does not settle: %s, %v", out.State, states(w.in.Key.Status.Versions))
	}
}

// TestWakeIsExact: nothing happens by time alone before the announced instant, and
// something does at it.
func TestWakeIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var versions []v1alpha1.KeyVersion
		for id := range rapid.IntRange(1, 2).Draw(t, "versions") {
			v := version(int64(id+1), v1alpha1.VersionActive)
			v.ExpiresAt = &metav1.Time{Time: start.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "hours")) * time.Hour)}
			versions = append(versions, v)
		}
		in := input(versions...) // whose Secret is lost
		now := lifecycle.Plan(in, start)
		before := lifecycle.Plan(in, now.Wake.Add(-1))
		after := lifecycle.Plan(in, now.Wake)
		if fmt.Sprint(states(before.Versions)) != fmt.Sprint(states(now.Versions)) {
			t.Fatal("a version changed before the wake")
		}
		if fmt.Sprint(states(after.Versions)) == fmt.Sprint(states(now.Versions)) {
			t.Fatal("no version changed at the wake")
		}
	})
}

// counter is a reader of bytes that tell mints apart.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.n
	}
	return len(p), nil
}
