package apikey

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// restartRetry is how soon a workload that could not be rolled is tried again.
const restartRetry = time.Minute

// restart rolls the workloads that read the Secret only when they start. It patches an annotation of the pod template
// without reading the workload, so that it does not need the permission to read; patching the same value twice rolls
// nothing. A failure is reported, and blocks nothing else. The event about rolled workloads is sent once that is recorded.
func (r *Reconciler) restart(ctx context.Context, key *v1alpha1.ApiKey, found *facts,
	outcome lifecycle.Outcome,
) (lifecycle.Outcome, error) {
	version := versionByID(outcome.Versions, outcome.Target)
	patch, err := json.Marshal(podTemplate(v1alpha1.AnnotationRestartPrefix+publish.KeyID(key.UID), strconv.FormatInt(version.ID, 10)))
	if err != nil {
		return outcome, fmt.Errorf("writing the patch: %w", err)
	}
	var rolled, failed []string
	for _, workload := range key.Spec.Secret.Restart {
		name := fmt.Sprintf("%s %s", workload.Kind, workload.Name)
		object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: workload.Name}}
		object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(string(workload.Kind)))
		switch err := r.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), FieldOwner); {
		case apierrors.IsForbidden(err):
			failed = append(failed, fmt.Sprintf("%s (the manager may not patch it: bind its ServiceAccount to the ClusterRole "+
				"keyward-restart in this namespace)", name))
		case err != nil:
			failed = append(failed, fmt.Sprintf("%s (%v)", name, err))
		default:
			rolled = append(rolled, name)
		}
	}
	if len(failed) > 0 {
		found.restartProblem = &grant.Problem{
			Reason: v1alpha1.ReasonRestartRefused, Field: "spec.secret.restart",
			Message: "cannot be rolled, which is retried: " + strings.Join(failed, ", "),
		}
		return outcome, nil
	}
	version.RestartedAt = &metav1.Time{Time: r.Clock.Now().Truncate(time.Second)}
	outcome.Notes = append(outcome.Notes, lifecycle.Note{
		Reason:  v1alpha1.ReasonRestarted,
		Message: fmt.Sprintf("rolled for version %d (%s): %s", version.ID, version.Preview, strings.Join(rolled, ", ")),
	})
	return outcome, nil
}

// podTemplate is a patch that sets one annotation of a workload's pods.
func podTemplate(annotation, value string) any {
	type object = map[string]any
	return object{"spec": object{"template": object{"metadata": object{"annotations": object{annotation: value}}}}}
}
