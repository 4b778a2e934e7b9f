package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// TestKilledWhileWritingALog kills the manager at each step of writing a log. The next manager has to leave each transition in it
// once, in order.
func TestKilledWhileWritingALog(t *testing.T) {
	w := newWorld(t)
	first := w.lead(managerSetup{})
	w.createGroup()
	w.mint("keeper")
	w.awaitLogged("keeper")
	first.kill()
	for _, point := range failpoint.Log {
		t.Run(point, func(t *testing.T) {
			w := *w
			w.t, w.ctx = t, t.Context()
			w.crash(point)
			second := w.lead(managerSetup{})
			w.awaitKey(point, "ready", isReady)
			w.awaitLogged(point)
			second.kill()
		})
	}
}

// awaitLogged waits until the log has how a key came to be, each event once, and holds the whole log to its chain and its head.
func (w *world) awaitLogged(key string) {
	w.t.Helper()
	eventually(w.t, "the log to have the key "+key, patience, func() error {
		var segments v1alpha1.GroupLogList
		if err := w.admin.List(w.ctx, &segments, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		verifier, types, ids := groupevent.NewVerifier("", groupevent.Head{}), []string{}, map[string]bool{}
		for _, segment := range segments.Items {
			for line := range strings.Lines(segment.Spec.Events) {
				event, divergence := verifier.Add([]byte(strings.TrimSuffix(line, "\n")))
				if divergence != nil {
					w.t.Fatal(divergence)
				}
				if ids[event.ID] {
					w.t.Fatalf("%s is in the log twice", event.ID)
				}
				ids[event.ID] = true
				if event.Subject.Name == key {
					types = append(types, event.Type.Short())
				}
			}
		}
		types = slices.Compact(types) // a text that is lost with the manager is minted again, as another version
		if got := strings.Join(types, " "); got != "key.created key.minted key.delivered" {
			return fmt.Errorf("of %d events, these are of the key: %s", len(ids), got)
		}
		var usages v1alpha1.GroupUsageList
		if err := w.admin.List(w.ctx, &usages, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for _, usage := range usages.Items {
			if head := usage.Status.Log; head != nil && head.Sequence == int64(len(ids)) && head.Hash == verifier.Last().Hash {
				return nil
			}
		}
		return fmt.Errorf("the head of %d events is not recorded", len(ids))
	})
}
