package e2e

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestPublishBeforeDeliver mints a thousand keys, while one validation server is stopped half way. Every connected server
// accepts a key from the moment when its Secret is visible.
func TestPublishBeforeDeliver(t *testing.T) {
	const half = 500
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick, grace: 2 * time.Second})
	validators := w.startValidators("steady", "stopped")
	stopped := validators[1]
	checker := w.checkFleet(map[string]checkedServer{"steady": validators[0], "stopped": stopped,
		"slow": w.subscribe("slow", 10*time.Millisecond)})
	w.createGroup()

	creating := w.createKeys("first", half)
	checker.awaitSecrets(half / 3)
	checker.remove("stopped")
	stopped.signal(t, syscall.SIGSTOP)
	t.Cleanup(func() { stopped.signal(t, syscall.SIGCONT) })
	creating.Wait()
	creating = w.createKeys("second", half)
	pending := w.awaitWaitingFor("stopped")
	w.awaitKey(pending, "delivered without the disconnected server", func(key *v1alpha1.ApiKey) bool {
		return isReady(key) && key.Status.Enforcement != nil && slices.Contains(key.Status.Enforcement.Disconnected, "stopped")
	})
	creating.Wait()
	checker.awaitSecrets(2 * half)
	late := w.plaintext(pending)
	stopped.signal(t, syscall.SIGCONT)
	stopped.awaits(late, "allowed")

	asked, refusals := checker.finish()
	t.Logf("%d answers about %d keys, %d refusals", asked, 2*half, len(refusals))
	if len(refusals) > 0 || asked < 2*2*half {
		t.Errorf("of %d answers these were refusals: %v", asked, refusals[:min(10, len(refusals))])
	}
	for _, key := range checker.keys {
		validators[0].requires(t, key, "allowed")
		stopped.awaits(key, "allowed") // it may still be catching up
	}
}

// TestThatPublishBeforeDeliverCanFail is the same with a manager that delivers without waiting: the fleet checker detects it.
func TestThatPublishBeforeDeliverCanFail(t *testing.T) {
	const keys = 10
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick, binary: w.buildHasty()})
	checker := w.checkFleet(map[string]checkedServer{"slow": w.subscribe("slow", 200*time.Millisecond)})
	w.createGroup()
	w.createKeys("key", keys).Wait()
	checker.awaitSecrets(keys)
	if _, refusals := checker.finish(); len(refusals) == 0 {
		t.Error("nobody noticed that keys were delivered before they were published")
	}
}

// buildHasty builds a manager that treats every version as published at once.
func (w *world) buildHasty() string {
	w.t.Helper()
	return w.buildPatched("keyward-manager-hasty", "./cmd/manager", patch{"controllers/apikey/gather.go",
		"f.input.Published = f.enforcement.Deliverable", "f.input.Published = true"})
}

// createKeys creates n ApiKeys, some at a time, in the background.
func (w *world) createKeys(prefix string, n int) *sync.WaitGroup {
	const workers = 8
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	creating := &sync.WaitGroup{}
	for range workers {
		creating.Go(func() {
			for i := range work {
				if err := w.tryCreate(w.newKey(fmt.Sprintf("%s-%04d", prefix, i))); err != nil {
					w.t.Error(err)
					return
				}
			}
		})
	}
	return creating
}

// awaitWaitingFor returns an ApiKey that is not delivered because of the server that its status names.
func (w *world) awaitWaitingFor(instance string) (name string) {
	w.t.Helper()
	eventually(w.t, "a status that names "+instance, patience, func() error {
		list := &v1alpha1.ApiKeyList{}
		if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for _, key := range list.Items {
			if e := key.Status.Enforcement; key.Status.State == v1alpha1.KeyPending && e != nil && slices.Contains(e.WaitingFor, instance) {
				name = key.Name
				return nil
			}
		}
		return fmt.Errorf("none of %d ApiKeys does", len(list.Items))
	})
	return name
}
