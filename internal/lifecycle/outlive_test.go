package lifecycle_test

import (
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// TestAVersionThatIsOutlived: the Group's keyPolicy is tightened to less than the overlap, and a rotated version expires while
// the earlier one is still accepted.
func TestAVersionThatIsOutlived(t *testing.T) {
	outlived := func(t *testing.T) *played {
		l := newPlayed(t)
		l.in.Key.Spec.ExpiresAfter = "90d"
		l.in.Group.Spec.KeyPolicy.MaxLifetime = "12h"
		l.request("first")
		l.are("Retiring Active")
		l.now = l.now.Add(13 * time.Hour)
		return l
	}
	t.Run("it is not ready, and says what to do", func(t *testing.T) {
		l := outlived(t)
		out := l.are("Retiring Expired")
		if out.Obstacle == nil || out.Obstacle.Reason != v1alpha1.ReasonLifetimeNotAllowed || out.State != v1alpha1.KeyActive {
			t.Errorf("%s, obstacle %v", out.State, out.Obstacle)
		}
		if want := start.Add(24*time.Hour + time.Second); !out.Wake.Equal(want) {
			t.Errorf("wakes at %v, want %v", out.Wake, want)
		}
	})
	for name, ask := range map[string]func(*played){
		"a request": func(l *played) { l.request("second") },
		"a trigger": func(l *played) { l.in.Key.Spec.Rotation.Trigger = "second" },
	} {
		t.Run(name+" rotates it, as often as wanted", func(t *testing.T) {
			l := outlived(t)
			ask(l)
			out := l.are("Retiring Expired Active")
			if out.Obstacle != nil || out.State != v1alpha1.KeyActive || out.Action != lifecycle.Keep {
				t.Errorf("%s, obstacle %v, action %v", out.State, out.Obstacle, out.Action)
			}
			l.request("third")
			l.are("Retiring Expired Retiring Active")
		})
	}
	t.Run("a suspension is waited for", func(t *testing.T) {
		l := outlived(t)
		l.in.Key.Spec.Suspended = new(true)
		l.request("second")
		if out := l.are("Retiring Expired"); out.State != v1alpha1.KeySuspended {
			t.Errorf("%s", out.State)
		}
		l.in.Key.Spec.Suspended = nil
		l.are("Retiring Expired Active")
	})
	t.Run("it ends when no version lives", func(t *testing.T) {
		l := outlived(t)
		l.are("Retiring Expired")
		l.now = l.now.Add(24 * time.Hour)
		if out := l.are("Retired Expired"); out.State != v1alpha1.KeyExpired || out.Obstacle != nil {
			t.Errorf("%s, obstacle %v", out.State, out.Obstacle)
		}
		l.request("too late")
		l.are("Retired Expired")
	})
	t.Run("a declared end is one", func(t *testing.T) {
		l := newPlayed(t)
		l.request("first")
		l.are("Retiring Active")
		l.in.Key.Spec.ExpiresAt = at(time.Hour)
		l.now = start.Add(2 * time.Hour)
		l.request("second")
		if out := l.finish(); out.State != v1alpha1.KeyExpired {
			t.Errorf("%s", out.State)
		}
	})
}
