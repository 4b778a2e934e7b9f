package lifecycle_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// fight lets something overwrite the Secret at each pace for a time, and counts what is minted and announced.
type fight struct {
	in      lifecycle.Input
	now     time.Time
	minted  int
	notes   int
	contest time.Duration // when it was first noticed
}

// step does what a reconciler does, with servers that acknowledge at once.
func (f *fight) step() (wake time.Time) {
	for range 10 {
		f.in.Published = true
		out := lifecycle.Plan(f.in, f.now)
		f.notes += len(out.Notes)
		if out.Contest != nil && f.contest == 0 {
			f.contest = f.now.Sub(start)
		}
		switch out.Action {
		case lifecycle.Mint:
			f.minted++
			text, err := keyformat.Mint("kw", &counter{n: byte(f.minted), m: byte(f.minted >> 8)})
			if err != nil {
				panic(err)
			}
			out.Versions = append(out.Versions, lifecycle.NewVersion(f.in.Key, out, text.Preview(), text.Digest().String(), f.now))
			f.in.Pending = out.Target
		case lifecycle.Deliver:
			f.in.Secret = lifecycle.Secret{Found: true, Digest: out.Versions[len(out.Versions)-1].Digest}
		case lifecycle.None, lifecycle.Import, lifecycle.Publish, lifecycle.Keep, lifecycle.DeleteSecret:
			f.in.Key.Status.Versions, f.in.Pending = out.Versions, 0
			return out.Wake
		}
		f.in.Key.Status.Versions = out.Versions
	}
	panic("it does not come to rest")
}

// overwrite lets something else write the Secret every so often, until an instant.
func (f *fight) overwrite(every, until time.Duration) {
	for f.now.Before(start.Add(until)) {
		f.step()
		f.in.Secret.Digest = digest("of somebody else")
		f.step()
		f.now = f.now.Add(every)
	}
}

// TestContest: a Secret that something else keeps overwriting is contested from the third loss on, costs few versions and few
// events, and is in order 10 minutes after the last loss, with one roll of its workloads.
func TestContest(t *testing.T) {
	f := &fight{in: input(delivered(1, v1alpha1.VersionActive, 0)), now: start}
	f.in.Secret = carrying(1)
	f.in.Key.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "web"}}
	f.overwrite(250*time.Millisecond, 30*time.Second)
	if f.minted > 7 || f.notes > 10 {
		t.Errorf("in 30 seconds, %d versions are minted, and there are %d events", f.minted, f.notes)
	}
	if f.contest == 0 || f.contest > 2*time.Second {
		t.Errorf("it is noticed after %v", f.contest)
	}
	few := f.notes
	f.overwrite(time.Second, time.Hour)
	if f.minted > 25 || f.notes > few {
		t.Errorf("in an hour, %d versions are minted, and there are %d events", f.minted, f.notes)
	}
	if n := len(f.in.Key.Status.Versions); n > lifecycle.MaxEnded+2 {
		t.Errorf("%d versions are remembered", n)
	}

	// It ends. What this process knew does not matter: all of it is in the status.
	for range 10 {
		if wake := f.step(); f.in.Secret.Digest == digest("of somebody else") {
			f.now = wake
		}
	}
	out := lifecycle.Plan(f.in, f.now)
	if out.State != v1alpha1.KeyActive || out.Contest == nil || out.Restart {
		t.Fatalf("state %s, contest %v, restart %v", out.State, out.Contest, out.Restart)
	}
	last := f.in.Key.Status.Versions[len(f.in.Key.Status.Versions)-1].MintedAt
	if !out.Contest.Until.Equal(last.Add(10 * time.Minute)) {
		t.Errorf("it is over at %v, the last loss was at %v", out.Contest.Until, last)
	}
	if early := lifecycle.Plan(f.in, out.Contest.Until.Add(-1)); early.Contest == nil || early.Wake.After(out.Contest.Until) {
		t.Errorf("before: contest %v, wake %v", early.Contest, early.Wake)
	}
	over := lifecycle.Plan(f.in, out.Contest.Until)
	if over.Contest == nil || !over.Contest.Slow || !over.Restart {
		t.Errorf("after: contest %v, restart %v", over.Contest, over.Restart)
	}
	if later := lifecycle.Plan(f.in, last.Add(24*time.Hour)); later.Contest != nil {
		t.Errorf("a day later: contest %v", later.Contest)
	}
}

// TestASlowContest: what writes the Secret every ten minutes or every hour contests it, too. Each version is used between, so its
// workloads are rolled and its events are there.
func TestASlowContest(t *testing.T) {
	for every, from := range map[time.Duration]int{
		605 * time.Second: 3, 29 * time.Minute: 3, time.Hour: 6, 210 * time.Minute: 6, 6 * time.Hour: 0,
	} {
		t.Run(every.String(), func(t *testing.T) {
			f := &fight{in: input(delivered(1, v1alpha1.VersionActive, 0)), now: start}
			f.in.Secret, f.in.Key.Status.Versions[0].ExpiresAt = carrying(1), nil
			f.in.Key.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "web"}}
			for i := range 10 {
				f.in.Secret.Digest = digest("of somebody else")
				for range 5 {
					if wake := f.step(); f.in.Secret.Digest == digest("of somebody else") {
						f.now = wake
					}
				}
				out := lifecycle.Plan(f.in, f.now)
				if want := from > 0 && i+1 >= from; (out.Contest != nil) != want {
					t.Errorf("after loss %d: contest %v", i+1, out.Contest)
				}
				if !out.Restart || f.notes < 3*(i+1) {
					t.Errorf("after loss %d: restart %v, %d events", i+1, out.Restart, f.notes)
				}
				f.now = f.now.Add(every)
				if out := lifecycle.Plan(f.in, f.now); i > 6 && (out.Contest != nil) != (from > 0) {
					t.Errorf("before loss %d: contest %v", i+2, out.Contest)
				}
			}
			for range 3 { // it ends
				out := lifecycle.Plan(f.in, f.now)
				if out.Contest == nil {
					return
				}
				if !out.Contest.Until.After(f.now) || out.Wake.After(out.Contest.Until) {
					t.Fatalf("until %v, wake %v, at %v", out.Contest.Until, out.Wake, f.now)
				}
				f.now = out.Contest.Until
			}
			t.Error("it never ends")
		})
	}
}

// TestOneLossIsNoContest: what happens to one or two lost Secrets is as ever: replaced, revoked and announced.
func TestOneLossIsNoContest(t *testing.T) {
	f := &fight{in: input(delivered(1, v1alpha1.VersionActive, 0)), now: start.Add(day)}
	f.in.Secret = lifecycle.Secret{}
	f.step()
	if f.minted != 1 || f.notes != 3 || f.contest != 0 {
		t.Errorf("minted %d, %d events, contest %v", f.minted, f.notes, f.contest)
	}
	f.now = f.now.Add(time.Minute)
	f.in.Secret = lifecycle.Secret{}
	f.step()
	if f.minted != 2 || f.notes != 6 || f.contest != 0 {
		t.Errorf("minted %d, %d events, contest %v", f.minted, f.notes, f.contest)
	}
	if v := f.in.Key.Status.Versions; v[0].State != v1alpha1.VersionRevoked || v[1].State != v1alpha1.VersionRevoked {
		t.Errorf("the lost versions are %v", states(v))
	}
	// A third, much later.
	f.now = f.now.Add(time.Hour)
	f.in.Secret = lifecycle.Secret{}
	f.step()
	if f.minted != 3 || f.contest != 0 {
		t.Errorf("minted %d, contest %v", f.minted, f.contest)
	}
}

// TestRestartsTogether: a workload that two keys roll is rolled a moment after a delivery, so that both are in the roll; the
// moment is a small part of the overlap.
func TestRestartsTogether(t *testing.T) {
	for name, c := range map[string]struct {
		shared  bool
		overlap v1alpha1.Duration
		after   time.Duration
	}{
		"alone":                     {false, "24h", 0},
		"shared":                    {true, "24h", 10 * time.Second},
		"shared, short overlap":     {true, "20s", 2 * time.Second},
		"shared, without overlap":   {true, "0s", 0},
		"shared, with the defaults": {true, "", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(delivered(2, v1alpha1.VersionActive, 0))
			in.Secret, in.SharedRestart = carrying(2), c.shared
			in.Key.Spec.Rotation.Overlap = c.overlap
			in.Key.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "web"}}
			if c.after > 0 {
				if out := lifecycle.Plan(in, start.Add(c.after-1)); out.Restart || !out.Wake.Equal(start.Add(c.after)) {
					t.Errorf("before: restart %v, wake %v", out.Restart, out.Wake)
				}
			}
			if out := lifecycle.Plan(in, start.Add(c.after)); !out.Restart {
				t.Error("it is not rolled")
			}
			in.Key.Status.Versions[0].RestartedAt = &metav1.Time{Time: start}
			if out := lifecycle.Plan(in, start.Add(time.Hour)); out.Restart {
				t.Error("it is rolled twice")
			}
		})
	}
}
