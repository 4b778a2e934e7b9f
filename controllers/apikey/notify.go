package apikey

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// annotationForceSync is the annotation that External Secrets documents for a refresh at once: any change of an object's
// annotations causes one.
const annotationForceSync = "force-sync"

// notify tells objects of other operators of a version that is in the Secret, in the way of restart.
func (r *Reconciler) notify(ctx context.Context, key *v1alpha1.ApiKey, found *facts, outcome *lifecycle.Outcome) error {
	version := versionByID(outcome.Versions, outcome.Target)
	value := fmt.Sprintf("%s-%d", publish.KeyID(key.UID), version.ID)
	patch := object{"metadata": object{"annotations": object{annotationForceSync: value}}}
	var notified, failed []string
	for _, target := range grant.Notifies(key) {
		switch problem, err := r.patchTarget(ctx, key, target, patch); {
		case err != nil:
			return err
		case problem != "":
			failed = append(failed, problem)
		default:
			notified = append(notified, target.Kind+" "+target.Name)
		}
	}
	if len(failed) > 0 {
		if found.followUpProblem == nil {
			found.followUpProblem = &grant.Problem{
				Reason: v1alpha1.ReasonNotifyRefused, Field: "spec.secret.notify",
				Message: "cannot be notified, which is retried: " + strings.Join(failed, ", "),
			}
		}
		return nil
	}
	version.NotifiedAt = &metav1.Time{Time: r.Clock.Now().Truncate(time.Second)}
	outcome.Notes = append(outcome.Notes, lifecycle.Note{
		Reason:  v1alpha1.ReasonNotified,
		Message: fmt.Sprintf("notified of version %d (%s): %s", version.ID, version.Preview, strings.Join(notified, ", ")),
	})
	return nil
}
