package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// rotations is how many rotations the zero-refusals test makes; make rotations makes more.
func rotations(t *testing.T) int {
	t.Helper()
	const usually = 10
	text := os.Getenv("KEYWARD_E2E_ROTATIONS")
	if text == "" {
		return usually
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KEYWARD_E2E_ROTATIONS is %q: write a number", text)
	}
	return n
}

// TestRotationsRefuseNobody rotates the key of an app that reads its Secret once a second, while the validation server gets
// every update late, and while the manager is killed at random moments.
func TestRotationsRefuseNobody(t *testing.T) {
	w := newWorld(t)
	n := rotations(t)
	run := w.rotateUnderLoad(managerSetup{startupGrace: 5 * time.Second}, n, true)
	if len(run.refused) > 0 {
		t.Errorf("of %d requests these were not answered by the content: %d, such as %v", run.sent, len(run.refused),
			run.refused[:min(10, len(run.refused))])
	}
	if len(run.read) != n+1 || run.sent < 100*n {
		t.Errorf("an app that had %d keys in %d rotations, and sent %d requests, proves nothing", len(run.read), n, run.sent)
	}
	for _, key := range run.read[:len(run.read)-1] {
		if code, err := run.validator.verify(t.Context(), key); err != nil || code != "key_retired" && code != "key_unknown" {
			t.Errorf("a key of the past is answered %s (%v)", code, err)
		}
	}
	run.validator.requires(t, run.read[len(run.read)-1], "allowed")
}

// TestThatRotationsCanRefuse is the same with a manager that delivers a key before it is published: the app detects it.
func TestThatRotationsCanRefuse(t *testing.T) {
	w := newWorld(t)
	run := w.rotateUnderLoad(managerSetup{startupGrace: quick, binary: w.buildHasty()}, 2, false)
	if len(run.refused) == 0 {
		t.Error("nobody noticed that keys were delivered before they were published")
	}
}

// lived is the outcome of an app under rotations.
type lived struct {
	validator     *validator
	sent          int
	refused, read []string
}

// rotateUnderLoad rotates a key by its trigger, with 5 s of overlap, and returns when only the last version is left.
func (w *world) rotateUnderLoad(setup managerSetup, rotations int, kills bool) lived {
	w.t.Helper()
	m := w.lead(setup)
	// Longer than an app takes to read a key again, so that a key that is delivered too early is used too early.
	line := w.slowLine(1500 * time.Millisecond)
	v := w.startValidator(validatorSetup{instance: "proxy", upstream: w.contentServer().URL,
		flags: []string{"--sync-address=" + line.address}})
	v.awaitReady()
	w.createGroup()
	v.awaits(w.mint("web", func(key *v1alpha1.ApiKey) { key.Spec.Rotation.Overlap = "5s" }), "allowed")
	line.awaitSlow()
	begin := time.Now()
	app := w.startApp("web", v)
	for i := range rotations {
		trigger := fmt.Sprintf("rotation %d", i)
		w.trigger("web", trigger)
		if kills && i%2 == 0 {
			// Nothing is waited for: it dies at any moment of a rotation.
			time.Sleep(rand.N(3 * time.Second))
			m.kill()
			m = w.startManager(setup)
		}
		w.awaitKey("web", "rotated", func(key *v1alpha1.ApiKey) bool {
			current := lifecycle.Current(key.Status.Versions)
			return current != nil && current.State == v1alpha1.VersionActive && current.Trigger == trigger
		})
		app.awaits(w, "web")
	}
	w.awaitKey("web", "left with one version", func(key *v1alpha1.ApiKey) bool {
		return live(key) == 1 && isEnforced(1)(key)
	})
	sent, refused, read := app.stop()
	took := time.Since(begin)
	w.t.Logf("%d rotations in %s: %d requests (%.0f a second) with %d keys, %d not answered by the content",
		rotations, took.Round(time.Second), sent, float64(sent)/took.Seconds(), len(read), len(refused))
	return lived{v, sent, refused, read}
}

// live counts the versions that are accepted.
func live(key *v1alpha1.ApiKey) (n int) {
	for i := range key.Status.Versions {
		if lifecycle.Live(key.Status.Versions[i].State) {
			n++
		}
	}
	return n
}

// trigger declares a rotation. Admission needs a manager.
func (w *world) trigger(name, text string) {
	w.t.Helper()
	if err := w.tryTrigger(name, text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tryTrigger(name, text string) error {
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"rotation":{"trigger":%q}}}`, text))
	return poll(w.ctx, patience, func() error { return w.admin.Patch(w.ctx, w.newKey(name), patch) })
}
