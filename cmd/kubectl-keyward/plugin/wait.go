package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keystate"
)

// patience is how long a command waits until its change is in force.
type patience struct {
	wait    bool
	timeout time.Duration
}

func (w *patience) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", true, "wait until it is in force")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 2*time.Minute, "how long to wait")
}

// follow calls see with the key as it is, and whenever it changes, until see reports that it is done or fails. What
// progress says about the key is printed when it is new.
func (a *app) follow(ctx context.Context, s *session, key *v1alpha1.ApiKey, limit time.Duration,
	progress func(*v1alpha1.ApiKey) string, see func(*v1alpha1.ApiKey) (bool, error)) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	only := client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", key.Name)}
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
			keys := &v1alpha1.ApiKeyList{}
			return keys, s.List(ctx, keys, &client.ListOptions{Raw: &raw}, client.InNamespace(key.Namespace), only)
		},
		WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
			return s.Watch(ctx, &v1alpha1.ApiKeyList{}, &client.ListOptions{Raw: &raw}, client.InNamespace(key.Namespace), only)
		},
	}
	said := ""
	_, err := watchtools.UntilWithSync(bounded, list, &v1alpha1.ApiKey{}, nil, func(event watch.Event) (bool, error) {
		seen, ok := event.Object.(*v1alpha1.ApiKey)
		if event.Type == watch.Deleted || ok && seen.UID != key.UID {
			return false, fmt.Errorf("ApiKey %s/%s was deleted meanwhile", key.Namespace, key.Name)
		}
		if !ok || seen.Generation < key.Generation {
			return false, nil
		}
		seen.DeepCopyInto(key)
		if text := progress(key); text != "" && text != said {
			a.narrate("%s", text)
			said = text
		}
		return see(key)
	})
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		seen := "the manager has not looked at it"
		if ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady); ready != nil && keystate.Observed(key) {
			seen = ready.Message
		}
		return coded{ExitTimeout, fmt.Errorf("not in force after %s (%s); it is declared and will continue: kubectl "+
			"keyward -n %s status %s",
			limit, or(said, seen), key.Namespace, key.Name)}
	}
	if err != nil && ctx.Err() != nil {
		return context.Canceled
	}
	return err
}

// acknowledged reports whether every connected server has acknowledged the latest edit.
func acknowledged(key *v1alpha1.ApiKey) bool {
	enforced := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionEnforced)
	if enforced == nil {
		return keystate.Observed(key) && len(key.Status.Versions) == 0 // there is nothing to enforce
	}
	return keystate.Observed(key) && enforced.ObservedGeneration >= key.Generation && enforced.Reason != v1alpha1.ReasonWaitingForServers
}

// enforced is the progress of a change that has to be enforced.
func (a *app) enforced(key *v1alpha1.ApiKey) string {
	if !keystate.Observed(key) {
		return ""
	}
	view := viewOf(key, a.now())
	if e := view.Enforcement; e != nil && !e.Complete && len(e.Disconnected)+len(e.Rejecting) == 0 {
		return fmt.Sprintf("%s: %s", view.State, describeEnforcement(e))
	}
	return ""
}

// incomplete returns an error if the change is not in force everywhere.
func incomplete(key *v1alpha1.ApiKey) error {
	if e := key.Status.Enforcement; e != nil && len(e.Disconnected) > 0 {
		return coded{ExitIncomplete, errors.New("disconnected servers decide by the state that they had until they reconnect: " +
			"find out whether they run, or cut them off")}
	} else if e != nil && len(e.Rejecting) > 0 {
		return coded{ExitIncomplete, fmt.Errorf("%s cannot use the record: %s: upgrade this validation server",
			e.Rejecting[0].Server, e.Rejecting[0].Reason)}
	}
	return nil
}
