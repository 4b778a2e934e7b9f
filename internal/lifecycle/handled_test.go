package lifecycle_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// rotate rotates the key by so many triggers.
func (l *played) rotate(times int, name string) {
	l.Helper()
	for i := range times {
		l.now = l.now.Add(48 * time.Hour) // the overlaps are over
		l.in.Key.Spec.Rotation.Trigger = fmt.Sprintf("%s %d", name, i)
		l.finish()
	}
}

// quiet requires that nothing rotates.
func (l *played) quiet(why string) {
	l.Helper()
	before := len(l.in.Key.Status.Versions)
	last := l.in.Key.Status.Versions[before-1].ID
	l.finish()
	if got := l.in.Key.Status.Versions[len(l.in.Key.Status.Versions)-1].ID; got != last {
		l.Errorf("%s: it rotates to version %d", why, got)
	}
}

// rotates requires that it does.
func (l *played) rotates(why string) {
	l.Helper()
	last := l.in.Key.Status.Versions[len(l.in.Key.Status.Versions)-1].ID
	l.finish()
	if got := l.in.Key.Status.Versions[len(l.in.Key.Status.Versions)-1].ID; got != last+1 {
		l.Errorf("%s: it does not rotate", why)
	}
}

// TestAHandledRequestStaysHandled: a request that was handled, and came back, must not rotate when its version is forgotten.
func TestAHandledRequestStaysHandled(t *testing.T) {
	for _, request := range []string{"A;overlap=0s", "2026-11-21T11:00:00Z;overlap=0s"} {
		l := newPlayed(t)
		l.in.Key.Spec.Rotation.Overlap = "0s"
		l.request(request)
		l.rotates("a new request")
		l.request("B")
		l.rotates("another")
		l.request(request)
		l.quiet("it comes back")
		for i := range 12 {
			l.now = l.now.Add(48 * time.Hour)
			l.in.Key.Spec.Rotation.Trigger = fmt.Sprint(i)
			l.rotates("a trigger")
			l.quiet("the request is still there")
		}
		l.request("C")
		l.rotates("a third")
		l.request(request)
		l.quiet("from a backup, long after its version was forgotten")
	}
}

func TestAHandledTriggerStaysHandled(t *testing.T) {
	l := newPlayed(t)
	l.rotate(12, "early")
	l.in.Key.Spec.Rotation.Trigger = "early 0"
	l.quiet("a trigger of a version that is forgotten")
	// What is forgotten is not more than the oldest.
	l.rotate(63, "late")
	l.in.Key.Spec.Rotation.Trigger = "early 11"
	l.quiet("one of the last 64")
	l.rotate(30, "later")
	if n := len(l.in.Key.Status.HandledRotations); n > 64 {
		t.Errorf("%d are remembered", n)
	}
}

// TestRequestsThatAreForgotten: of these, the times are known.
func TestRequestsThatAreForgotten(t *testing.T) {
	l := newPlayed(t)
	l.request("2026-11-21T11:00:00Z")
	l.rotates("a new request")
	l.request("2062-11-21T11:00:00Z")
	l.rotates("a slip in the year")
	l.rotate(80, "many")
	l.request("2026-11-21T11:00:00Z")
	l.quiet("a time that was handled and forgotten")
	l.request("2026-11-21T11:00:00Z;overlap=1h")
	l.quiet("the same with an overlap")
	through := l.in.Key.Status.HandledThrough
	if through == nil || !through.Time.Equal(start) {
		t.Errorf("handled through %v", through)
	}
	l.request(l.now.Format(time.RFC3339))
	l.rotates("a slip does not make all later requests look old")
	l.request(start.Add(24*time.Hour).Format(time.RFC3339) + ";overlap=0s")
	l.rotates("from a machine whose clock is behind")
}

// TestRequestsOfThePluginThatAreForgotten: their name is a time with something behind it, so that no two are the same.
func TestRequestsOfThePluginThatAreForgotten(t *testing.T) {
	request := func(at time.Time) string {
		return grant.NewRotateRequest(grant.NameRotateRequest(at, strings.ToLower(rand.Text()[:6])), "0s")
	}
	l := newPlayed(t)
	first := request(l.now)
	l.request(first)
	l.rotates("a new request")
	for range 70 {
		l.now = l.now.Add(time.Hour)
		l.request(request(l.now))
		l.rotates("another")
	}
	l.request(first)
	l.quiet("it comes back, as from a backup")
	l.now = l.now.Add(time.Hour)
	l.request(request(l.now))
	l.rotates("a later one")
}

func TestWhatIsHandledIsWrittenOnce(t *testing.T) {
	l := newPlayed(t)
	l.rotate(100, "t")
	before := l.in.Key.Status.DeepCopy()
	lifecycle.SetHandled(&l.in.Key.Status, slices.Clone(before.Versions))
	if !equality.Semantic.DeepEqual(*before, l.in.Key.Status) {
		t.Error("the status changes though nothing happened")
	}
}
