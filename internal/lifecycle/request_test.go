package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// played drives the plan of one key without a manager: everything succeeds at once.
type played struct {
	*testing.T
	in  lifecycle.Input
	now time.Time
	n   byte
}

func newPlayed(t *testing.T) *played {
	l := &played{T: t, in: input(), now: start}
	l.in.Key.Spec.Rotation.Overlap = "24h"
	l.finish()
	return l
}

// finish plans until nothing is left to do, and returns the last outcome.
func (l *played) finish() lifecycle.Outcome {
	l.Helper()
	for range 20 {
		out := lifecycle.Plan(l.in, l.now)
		switch out.Action {
		case lifecycle.Mint:
			l.n++
			text, err := keyformat.Mint("kw", &counter{n: l.n})
			if err != nil {
				l.Fatal(err)
			}
			out.Versions = append(out.Versions, lifecycle.NewVersion(l.in.Key, out, text.Preview(), text.Digest().String(), l.now))
			l.in.Pending, l.in.Published = out.Target, true
		case lifecycle.Deliver:
			l.in.Secret = lifecycle.Secret{Found: true, Digest: lifecycle.Current(out.Versions[len(out.Versions)-1:]).Digest}
			l.in.Pending = 0
		default:
			l.record(out)
			return out
		}
		l.record(out)
	}
	l.Fatal("it never ends")
	return lifecycle.Outcome{}
}

func (l *played) record(out lifecycle.Outcome) {
	lifecycle.SetHandled(&l.in.Key.Status, out.Versions)
	l.in.Key.Status.Versions, l.in.Key.Status.State = out.Versions, out.State
}

// are requires the states of all versions after the plan has finished.
func (l *played) are(want string) lifecycle.Outcome {
	l.Helper()
	out := l.finish()
	var states []string
	for i := range out.Versions {
		states = append(states, string(out.Versions[i].State))
	}
	if got := strings.Join(states, " "); got != want {
		l.Errorf("versions are %s, want %s", got, want)
	}
	return out
}

func (l *played) request(text string) {
	l.in.Key.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: text}
}

func TestRequestedRotations(t *testing.T) {
	l := newPlayed(t)
	l.are("Active")
	l.request("monday")
	l.are("Retiring Active")
	if v := l.in.Key.Status.Versions[1]; v.Cause != v1alpha1.CauseRequested || v.RotateRequest != "monday" ||
		l.in.Key.Status.LastHandledRotateRequest != "monday" {
		t.Errorf("%+v", l.in.Key.Status)
	}
	l.now = l.now.Add(time.Hour)
	l.are("Retiring Active")
	for _, handled := range []string{"", "monday", "soon;overlap=maybe", strings.Repeat("x", 257), "a\nb"} {
		l.request(handled)
		l.are("Retiring Active")
	}
	l.request("tuesday")
	l.are("Retiring Retiring Active")
	l.request("monday") // it comes back, as with a tool that reverts changes
	l.are("Retiring Retiring Active")

	// A schedule that is due later handles nothing again.
	l.in.Key.Spec.Rotation.Every = "60d"
	l.now = l.now.Add(60 * day)
	l.are("Retired Retired Retiring Active")
	if v := l.in.Key.Status.Versions[3]; v.Cause != v1alpha1.CauseScheduled || v.RotateRequest != "" {
		t.Errorf("%+v", v)
	}
}

func TestRequestedOverlaps(t *testing.T) {
	l := newPlayed(t)
	l.request("1")
	l.are("Retiring Active")
	l.request("leaked;overlap=0s")
	l.are("Retired Retired Active")
	l.in.Key.Spec.Rotation.Every = "30d"
	l.now = l.now.Add(30 * day)
	l.are("Retired Retired Retiring Active") // by schedule, with the declared overlap

	l = newPlayed(t)
	l.request("slow;overlap=48h")
	out := l.are("Retiring Active")
	if got := out.Versions[0].RetiresAt.Time; !got.Equal(start.Add(48*time.Hour + time.Second)) {
		t.Errorf("retires at %v", got)
	}
	l.now = start.Add(time.Hour)
	l.request("faster;overlap=2h")
	out = l.are("Retiring Retiring Active")
	for i := range 2 {
		if got := out.Versions[i].RetiresAt.Time; !got.Equal(start.Add(3*time.Hour + time.Second)) {
			t.Errorf("version %d retires at %v", i+1, got)
		}
	}
	// Overlaps that are in the way of a rotation do not delay one that ends them.
	l = newPlayed(t)
	for _, request := range []string{"1", "2", "3", "4", "5"} {
		l.request(request)
		l.finish()
	}
	l.are("Retiring Retiring Retiring Retiring Active")
	l.request("leaked;overlap=0s")
	l.are("Retired Retired Retired Retired Retired Active")
}

// TestADeclaredOverlapEndsARequestedOne: an edit to a shorter overlap is what one does when the earlier text has leaked.
func TestADeclaredOverlapEndsARequestedOne(t *testing.T) {
	l := newPlayed(t)
	l.request("x;overlap=48h")
	l.are("Retiring Active")
	l.in.Key.Spec.Rotation.Overlap = "36h"
	if out := l.finish(); !out.Versions[0].RetiresAt.Time.Equal(start.Add(48*time.Hour + time.Second)) {
		t.Errorf("a longer declared one changes the requested one: %v", out.Versions[0].RetiresAt)
	}
	l.in.Key.Spec.Rotation.Overlap = "2h"
	if out := l.are("Retiring Active"); !out.Versions[0].RetiresAt.Time.Equal(start.Add(2*time.Hour + time.Second)) {
		t.Errorf("retires at %v", out.Versions[0].RetiresAt)
	}
	l.in.Key.Spec.Rotation.Overlap = "0s"
	l.are("Retired Active")

	// The default is declared, too.
	l = &played{T: t, in: input(), now: start}
	l.finish()
	l.request("x;overlap=48h")
	l.are("Retiring Active")
	l.in.Key.Spec.Rotation.Overlap = "0s"
	l.are("Retired Active")

	// A key that declares none may be given one for once.
	l = newPlayed(t)
	l.in.Key.Spec.Rotation.Overlap = "0s"
	l.request("gently;overlap=48h")
	l.are("Retiring Active")
	l.now = start.Add(47 * time.Hour)
	l.are("Retiring Active")

	// A requested overlap is not longer than the schedule.
	l = newPlayed(t)
	l.request("x;overlap=300d")
	l.are("Retiring Active")
	l.in.Key.Spec.Rotation.Every = "30d"
	if out := l.are("Retiring Active"); !out.Versions[0].RetiresAt.Time.Equal(start.Add(30*day + time.Second)) {
		t.Errorf("retires at %v", out.Versions[0].RetiresAt)
	}
}

func TestTooLongARequestedOverlap(t *testing.T) {
	for _, test := range []struct {
		overlap, every, after string
		want                  string
	}{
		{"99y", "", "", "longer than a year"},
		{"365d", "", "", ""},
		{"365d", "", "Never", ""},
		{"31d", "30d", "90d", "longer than spec.rotation.every 30d"},
		{"30d", "30d", "90d", ""},
		{"91d", "", "90d", "longer than spec.expiresAfter 90d"},
	} {
		key := &v1alpha1.ApiKey{}
		key.Spec.Rotation.Every, key.Spec.ExpiresAfter = v1alpha1.Duration(test.every), v1alpha1.Lifetime(test.after)
		key.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: "x;overlap=" + test.overlap}
		problem := grant.RequestedOverlapProblem(key)
		if (problem == nil) != (test.want == "") || problem != nil && !strings.Contains(problem.Message, test.want) {
			t.Errorf("%+v: %v", test, problem)
		}
	}
}

func TestARequestSurvivesACrash(t *testing.T) {
	l := newPlayed(t)
	l.request("monday")
	out := lifecycle.Plan(l.in, l.now)
	text, _ := keyformat.Mint("kw", &counter{n: 99})
	out.Versions = append(out.Versions, lifecycle.NewVersion(l.in.Key, out, text.Preview(), text.Digest().String(), l.now))
	l.record(out)
	if l.in.Key.Status.LastHandledRotateRequest != "" {
		t.Error("it counts as handled before anybody has the new version")
	}
	l.in.Pending = 0 // the process died, and the text is lost
	out = l.are("Retiring Active")
	if v := out.Versions[1]; v.Cause != v1alpha1.CauseRequested || v.RotateRequest != "monday" {
		t.Errorf("%+v", v)
	}
}

// TestATriggerThatComesBack: a tool that puts back what Git has, and a revert in Git, ask for nothing new.
func TestATriggerThatComesBack(t *testing.T) {
	l := newPlayed(t)
	trigger := func(text string) { l.in.Key.Spec.Rotation.Trigger = text }
	trigger("2026-11-22")
	l.are("Retiring Active")
	trigger("by hand")
	l.are("Retiring Retiring Active")
	for _, earlier := range []string{"2026-11-22", "", "by hand", "2026-11-22"} {
		trigger(earlier)
		l.are("Retiring Retiring Active")
	}
	trigger("2026-11-23")
	l.are("Retiring Retiring Retiring Active")
}

func TestATightenedPolicy(t *testing.T) {
	l := newPlayed(t)
	l.in.Key.Spec.ExpiresAfter, l.in.Key.Spec.Rotation.Every = "90d", "60d"
	l.are("Active")
	l.in.Group.Spec.KeyPolicy.MaxLifetime = "30d"
	out := l.are("Active")
	if out.Obstacle != nil || !out.Versions[0].ExpiresAt.Time.Equal(start.Add(90*day)) {
		t.Errorf("the version that exists does not go on: %v, %v", out.Obstacle, out.Versions[0].ExpiresAt)
	}
	l.request("leaked;overlap=0s")
	out = l.are("Retired Active")
	if got := out.Versions[1].ExpiresAt.Time; !got.Equal(start.Add(30 * day)) {
		t.Errorf("the next version lives until %v", got)
	}
	if out.RotatesAt.IsZero() || !out.RotatesAt.Before(start.Add(30*day)) {
		t.Errorf("it rotates at %v", out.RotatesAt)
	}
	// What the key declares does not lengthen a version beyond the policy, and shortens it.
	l.in.Key.Spec.ExpiresAfter = "365d"
	if out = l.finish(); !out.Versions[1].ExpiresAt.Time.Equal(start.Add(30 * day)) {
		t.Errorf("lengthened to %v", out.Versions[1].ExpiresAt)
	}
	l.in.Key.Spec.ExpiresAfter = "90d"
	l.in.Group.Spec.KeyPolicy.MaxLifetime = "90d"
	if out = l.finish(); !out.Versions[1].ExpiresAt.Time.Equal(start.Add(90 * day)) {
		t.Errorf("the policy allows more again: %v", out.Versions[1].ExpiresAt)
	}

	for name, change := range map[string]func(*v1alpha1.ApiKey){
		"never":      func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = v1alpha1.LifetimeNever },
		"an instant": func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAt = at(300 * day) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newPlayed(t)
			allow := true
			l.in.Group.Spec.KeyPolicy.AllowNever = &allow
			change(l.in.Key)
			l.in.Key.Spec.Rotation.Every = "60d"
			l.finish()
			l.in.Group.Spec.KeyPolicy.AllowNever, l.in.Group.Spec.KeyPolicy.MaxLifetime = nil, "30d"
			before := l.in.Key.Status.Versions[0].DeepCopy()
			out := l.are("Active")
			if out.Obstacle != nil || !out.Versions[0].ExpiresAt.Equal(before.ExpiresAt) {
				t.Errorf("obstacle %v, expires at %v and not %v", out.Obstacle, out.Versions[0].ExpiresAt, before.ExpiresAt)
			}
			l.request("now")
			out = l.are("Retiring Active")
			if got := out.Versions[1].ExpiresAt; got == nil || !got.Time.Equal(start.Add(30*day)) {
				t.Errorf("the next version lives until %v", got)
			}
			for range 3 { // it goes on for as long as it is declared to
				l.now = out.RotatesAt
				if out = l.finish(); out.State != v1alpha1.KeyActive {
					t.Fatalf("it is %s at %v", out.State, l.now)
				}
			}
		})
	}
	// A key that was never minted waits until its lifetime is allowed.
	l = &played{T: t, in: input(), now: start}
	l.in.Key.Spec.ExpiresAfter, l.in.Group.Spec.KeyPolicy.MaxLifetime = "90d", "30d"
	if out := l.finish(); out.State != v1alpha1.KeyBlocked || out.Obstacle.Reason != v1alpha1.ReasonLifetimeNotAllowed {
		t.Errorf("%+v", out)
	}
	l.in.Group.Spec.KeyPolicy.MaxLifetime = "90d"
	l.are("Active")
}

// TestAPolicyOfMinutes: a slip in a unit must not leave the holders of keys without one. Keys go on and are replaced in time, at most
// once a minute; requests and triggers work as ever.
func TestAPolicyOfMinutes(t *testing.T) {
	for policy, test := range map[v1alpha1.Duration]struct {
		spec  func(*v1alpha1.ApiKey)
		apart [2]time.Duration // how long after each other versions are minted
		gap   time.Duration    // how long the Secret has a text that is refused, each time
	}{
		"2m":  {func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "90d" }, [2]time.Duration{75 * time.Second, 80 * time.Second}, 0},
		"70s": {func(*v1alpha1.ApiKey) {}, [2]time.Duration{57 * time.Second, time.Minute}, 0},
		"10s": {func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "90d" }, [2]time.Duration{time.Minute, time.Minute}, 50 * time.Second},
		"90s": {func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAt = at(300 * day) }, [2]time.Duration{57 * time.Second, time.Minute}, 0},
	} {
		t.Run(string(policy), func(t *testing.T) {
			l := newPlayed(t)
			test.spec(l.in.Key)
			l.in.Key.Spec.Rotation = v1alpha1.Rotation{Every: "30d", Overlap: "1h"}
			l.finish()
			l.in.Group.Spec.KeyPolicy = v1alpha1.KeyPolicy{MaxLifetime: policy, DefaultLifetime: policy}
			for _, ask := range []func(){func() { l.request("leaked;overlap=0s") }, func() { l.in.Key.Spec.Rotation.Trigger = "B" }} {
				ask()
				l.rotates("asked")
				l.now = l.now.Add(time.Second)
			}
			for range 5 {
				out := l.finish()
				if out.Obstacle != nil || out.State != v1alpha1.KeyActive {
					t.Fatalf("%s, obstacle %v", out.State, out.Obstacle)
				}
				before := out.Versions[len(out.Versions)-1]
				refused := time.Duration(0)
				for out.Versions[len(out.Versions)-1].ID == before.ID {
					if out.Wake.IsZero() {
						t.Fatal("nothing replaces it")
					}
					l.now = out.Wake
					out = l.finish()
				}
				next := out.Versions[len(out.Versions)-1]
				if late := next.MintedAt.Sub(before.ExpiresAt.Time); late > 0 {
					refused = late
				}
				if apart := next.MintedAt.Sub(before.MintedAt.Time); apart < test.apart[0] || apart > test.apart[1] || refused != test.gap {
					t.Errorf("replaced after %v, and refused for %v", apart, refused)
				}
			}
			l.in.Group.Spec.KeyPolicy = v1alpha1.KeyPolicy{DefaultLifetime: "90d"}
			if out := l.finish(); out.Obstacle != nil {
				t.Errorf("the policy is raised: %v", out.Obstacle)
			}
		})
	}
	// A key that was never minted waits, and its message names what is in the way.
	l := &played{T: t, in: input(), now: start}
	l.in.Key.Spec.Rotation = v1alpha1.Rotation{Every: "30d", Overlap: "1h"}
	l.in.Group.Spec.KeyPolicy = v1alpha1.KeyPolicy{MaxLifetime: "2m"}
	out := l.finish()
	if out.Obstacle == nil || out.Obstacle.Reason != v1alpha1.ReasonLifetimeNotAllowed ||
		!strings.Contains(out.Obstacle.Message, "keyPolicy of Group acme/acme") {
		t.Errorf("obstacle %v", out.Obstacle)
	}
}

func TestRequestProblems(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "2026-11-26T22:57:00Z": true, "a b;overlap=0s": true, ";overlap=15m": true,
		"a;overlap=": false, "a;overlap=-1h": false, "a;overlap=1h;overlap=2h": false, "\x00": false, "a\tb": false,
		"a;Overlap=0s": false, "a; overlap=0s": false, "a;overlap = 0s": false, "a,overlap:0s": false, "overlap": false, "a;b": false,
		"a overlap=0s": false, "a?overlap=0s": false, "a|overlap=0s": false, "a;overlap": false, "a;ovrlap=0s": false, "a;b;overlap=0s": false,
		"2026-11-26T22:57:00Z-abc123;overlap=0s": true, "no overlap, please": false, "ticket=42, by jane": true,
		strings.Repeat("a", 256): true, strings.Repeat("a", 257): false, "\xff": false,
	} {
		key := &v1alpha1.ApiKey{}
		key.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: text}
		problem := grant.RequestProblem(key)
		if (problem == nil) != want || want != (grant.RotateRequest(key) == text) {
			t.Errorf("%q: %v, %q", text, problem, grant.RotateRequest(key))
		}
	}
}
