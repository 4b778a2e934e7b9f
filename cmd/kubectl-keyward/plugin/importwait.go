package plugin

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// importWait waits until validation servers accept keys, or it is known that they will not.
type importWait struct {
	waiting map[client.ObjectKey]*importResult
	reasons map[client.ObjectKey]string // why one is not accepted yet
	stalled map[client.ObjectKey]int    // how often in a row one was seen waiting for somebody to act
}

// stalledTwice is how often in a row a key has to wait for somebody until nothing else is expected: once may be because the manager
// has seen the ApiKey before its Group.
const stalledTwice = 2

// see takes in what is known of a key.
func (w *importWait) see(key *v1alpha1.ApiKey) {
	name := client.ObjectKeyFromObject(key)
	result := w.waiting[name]
	if result == nil {
		return
	}
	if accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted); accepted != nil {
		if accepted.Status == metav1.ConditionTrue {
			result.Accepted = true
			delete(w.waiting, name)
			return
		}
		w.reasons[name] = accepted.Reason + ": " + accepted.Message
	}
	if !lifecycle.Counts(key) {
		w.refuse(name, or(w.reasons[name], string(key.Status.State))+"; it is not accepted again")
		return
	}
	stalled := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Status != metav1.ConditionTrue || !keystate.Observed(key) {
		w.stalled[name] = 0
		return
	}
	if w.stalled[name]++; w.stalled[name] >= stalledTwice {
		w.refuse(name, stalled.Reason+": "+stalled.Message)
	}
}

// refuse ends the wait for a key.
func (w *importWait) refuse(name client.ObjectKey, why string) {
	result := w.waiting[name]
	result.Error, result.refused = why, true
	delete(w.waiting, name)
}

// awaitAccepted waits until validation servers accept the keys, and notes which they do not. It does not wait for a key that has ended
// or that somebody has to act for.
func (r *importRun) awaitAccepted(ctx context.Context, s *session, results []importResult) {
	w := importWait{waiting: map[client.ObjectKey]*importResult{}, reasons: map[client.ObjectKey]string{}, stalled: map[client.ObjectKey]int{}}
	for i := range results {
		if result := &results[i]; result.Result == importCreated || result.Result == importExists {
			w.waiting[client.ObjectKey{Namespace: result.Namespace, Name: result.Name}] = result
		}
	}
	total := len(w.waiting)
	err := wait.PollUntilContextTimeout(ctx, time.Second, r.waiting.timeout, true, func(ctx context.Context) (bool, error) {
		err := r.list(ctx, s, w.see)
		refused := 0
		for i := range results {
			if results[i].refused {
				refused++
			}
		}
		r.narrate("%d of %d keys are accepted", total-len(w.waiting)-refused, total)
		return err == nil && len(w.waiting) == 0, nil // another list may succeed
	})
	if err == nil {
		return
	}
	for name, result := range w.waiting {
		result.Error = or(w.reasons[name], "the manager has not looked at it yet") + fmt.Sprintf("; it is created, and not accepted after %s",
			model.Duration(r.waiting.timeout))
	}
}
