package apikey

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// restartRetry is how soon an object that could not be patched is tried again.
const restartRetry = time.Minute

// object is JSON.
type object = map[string]any

// restart rolls the workloads that read the Secret only when they start. It patches them without reading them, so that it does
// not need the permission to read; patching the same value twice rolls nothing. A failure is reported, and blocks nothing
// else. The event about rolled workloads is sent once that is recorded.
func (r *Reconciler) restart(ctx context.Context, key *v1alpha1.ApiKey, found *facts, outcome *lifecycle.Outcome) error {
	version := versionByID(outcome.Versions, outcome.Target)
	rolls, err := r.rolls(ctx, key, version)
	if err != nil {
		return err
	}
	var rolled, failed []string
	for _, target := range grant.Restarts(key) {
		switch problem, err := r.patchTarget(ctx, key, target, rollPatch(target, rolls[target.Name+"/"+target.Kind])); {
		case err != nil:
			return err
		case problem != "":
			failed = append(failed, problem)
		default:
			rolled = append(rolled, target.Kind+" "+target.Name)
		}
	}
	if len(failed) > 0 {
		found.followUpProblem = &grant.Problem{
			Reason: v1alpha1.ReasonRestartRefused, Field: "spec.secret.restart",
			Message: "cannot be rolled, which is retried: " + strings.Join(failed, ", "),
		}
		return nil
	}
	version.RestartedAt = &metav1.Time{Time: r.Clock.Now().Truncate(time.Second)}
	outcome.Notes = append(outcome.Notes, lifecycle.Note{
		Reason:  v1alpha1.ReasonRestarted,
		Message: fmt.Sprintf("rolled for version %d (%s): %s", version.ID, version.Preview, strings.Join(rolled, ", ")),
	})
	return nil
}

// roll is what a workload is rolled for: the versions of all keys that roll it, so that keys which rotate together
// change it once.
type roll struct {
	annotations object
	restartAt   time.Time
}

func (l *roll) add(key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion) {
	if l.annotations == nil {
		l.annotations = object{}
	}
	l.annotations[v1alpha1.AnnotationRestartPrefix+publish.KeyID(key.UID)] = strconv.FormatInt(version.ID, 10)
	// Pods that started within the second of the delivery may have the earlier text.
	if at := version.DeliveredAt; at != nil && !at.Add(time.Second).Before(l.restartAt) {
		l.restartAt = at.Add(time.Second)
	}
}

// rolls returns what to roll the key's workloads for, by name and kind.
func (r *Reconciler) rolls(ctx context.Context, key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion) (map[string]*roll, error) {
	keys, err := cache.CachedKeysInNamespace(ctx, r.Client, key.Namespace)
	if err != nil {
		return nil, err
	}
	rolls := map[string]*roll{}
	for _, workload := range key.Spec.Secret.Restart {
		of := &roll{}
		of.add(key, version)
		for i := range keys {
			other := &keys[i]
			if !shares(key, other, workload) {
				continue
			}
			if delivered := lifecycle.Current(other.Status.Versions); delivered != nil && delivered.DeliveredAt != nil &&
				lifecycle.Replaces(delivered) {
				of.add(other, delivered)
			}
		}
		rolls[workload.Name+"/"+string(workload.Kind)] = of
	}
	return rolls, nil
}

// rollPatch is a patch that rolls a workload: of a Rollout it sets the instant after which its Pods must have started, and of
// others annotations of the pod template.
func rollPatch(target grant.Target, of *roll) object {
	if target.Kind == string(v1alpha1.WorkloadRollout) {
		return object{"spec": object{"restartAt": of.restartAt.UTC().Format(time.RFC3339)}}
	}
	return object{"spec": object{"template": object{"metadata": object{"annotations": of.annotations}}}}
}

// patchTarget patches an object that a key names. The problem is why it cannot be patched.
func (r *Reconciler) patchTarget(ctx context.Context, key *v1alpha1.ApiKey, target grant.Target, patch object) (problem string, err error) {
	data, err := json.Marshal(patch)
	if err != nil {
		return "", fmt.Errorf("writing the patch: %w", err)
	}
	of := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: target.Name}}
	of.SetGroupVersionKind(target.GroupVersion.WithKind(target.Kind))
	name := target.Kind + " " + target.Name
	switch err := r.Client.Patch(ctx, of, client.RawPatch(types.MergePatchType, data), FieldOwner); {
	case meta.IsNoMatchError(err):
		return fmt.Sprintf("%s (this cluster has no %s of %s)", name, target.Resource, target.GroupVersion.Group), nil
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("%s (the manager may not patch it: bind its ServiceAccount to the ClusterRole keyward-restart in this "+
			"namespace)", name), nil
	case err != nil:
		return fmt.Sprintf("%s (%v)", name, err), nil
	}
	return "", nil
}

// gatherSharedRestart looks for another key that rolls a workload of this one, if this one may be about to roll them. The plan may
// find that a version is delivered which the status does not show so, as after a conflict: that is the one to roll for.
func (r *Reconciler) gatherSharedRestart(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	if len(key.Spec.Secret.Restart) == 0 || !slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool {
		return lifecycle.Live(v.State) && v.State != v1alpha1.VersionRetiring && v.RestartedAt == nil && lifecycle.Replaces(&v)
	}) {
		return nil
	}
	keys, err := cache.CachedKeysInNamespace(ctx, r.Client, key.Namespace)
	if err != nil {
		return err
	}
	for i := range keys {
		if slices.ContainsFunc(key.Spec.Secret.Restart, func(w v1alpha1.Workload) bool { return shares(key, &keys[i], w) }) {
			f.input.SharedRestart = true
			break
		}
	}
	return nil
}

// shares reports whether another key rolls the workload, too.
func shares(key, other *v1alpha1.ApiKey, workload v1alpha1.Workload) bool {
	return other.UID != key.UID && slices.Contains(other.Spec.Secret.Restart, workload)
}
