package v1alpha1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// reviewStamp records who has decided what about a request, how and when, in spec.decided. Nobody else writes there.
type reviewStamp struct{ clock clock.PassiveClock }

var errStampForged = errors.New("spec.decided: only admission writes who has decided; leave it as it is, or out of the manifest")

// Handle implements admission.Handler. Like stamp, it decodes objects without their types.
func (s reviewStamp) Handle(ctx context.Context, request admission.Request) admission.Response {
	object, old := &unstructured.Unstructured{}, &unstructured.Unstructured{}
	if err := json.Unmarshal(request.Object.Raw, &object.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if len(request.OldObject.Raw) > 0 {
		if err := json.Unmarshal(request.OldObject.Raw, &old.Object); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
	}
	spec, is := object.Object["spec"].(map[string]any)
	if !is {
		return admission.Allowed("") // the schema refuses it
	}
	decided, _, _ := unstructured.NestedSlice(old.Object, "spec", "decided")
	if given, has := spec["decided"]; has && given != nil && !equality.Semantic.DeepEqual(given, any(decided)) {
		return admission.Errored(http.StatusForbidden, forbid(ctx, "KeyRequestReview", object.GetName(), v1alpha1.ReasonApproveRequired, errStampForged))
	}
	was, _, _ := unstructured.NestedString(old.Object, "spec", "decision", "verdict")
	verdict, _, _ := unstructured.NestedString(object.Object, "spec", "decision", "verdict")
	if verdict != "" && verdict != was {
		entry := map[string]any{
			"verdict": verdict, "by": request.UserInfo.Username, "via": via(request), "at": s.clock.Now().UTC().Format(time.RFC3339),
		}
		if reason, _, _ := unstructured.NestedString(object.Object, "spec", "decision", "reason"); reason != "" {
			entry["reason"] = reason
		}
		decided = append(decided, entry)
	}
	if delete(spec, "decided"); len(decided) > 0 {
		spec["decided"] = decided
	}
	stamped, err := json.Marshal(object.Object)
	if err != nil {
		return undecided(ctx, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, stamped)
}

// keyRequestReviews decides who may write reviews: the manager creates them, and who has the verb approve on the Group decides.
type keyRequestReviews struct {
	self   *self
	groups *groups
}

// ValidateCreate refuses reviews of others than the manager: they would be of requests that nobody has made.
func (w *keyRequestReviews) ValidateCreate(ctx context.Context, review *v1alpha1.KeyRequestReview) (admission.Warnings, error) {
	manager, err := w.byManager(ctx)
	if err != nil || manager {
		return nil, err
	}
	return nil, forbid(ctx, "KeyRequestReview", review.Name, v1alpha1.ReasonApproveRequired,
		errors.New("only the manager creates reviews; create a KeyRequest"))
}

// ValidateUpdate refuses decisions of users who may not approve, or about a review that is being deleted, owners with which it would be deleted, and
// finalizers with which it would stay. The schema keeps the rest.
func (w *keyRequestReviews) ValidateUpdate(ctx context.Context, old, review *v1alpha1.KeyRequestReview) (admission.Warnings, error) {
	manager, err := w.byManager(ctx)
	if err != nil || manager {
		return nil, err
	}
	if owners, err := ownersSet(ctx, old, review); err != nil {
		return nil, err
	} else if owners {
		return nil, forbid(ctx, "KeyRequestReview", review.Name, v1alpha1.ReasonApproveRequired,
			errors.New("metadata.ownerReferences: with another owner, the review would be deleted; leave them as they are"))
	}
	if added := sets.New(review.Finalizers...).Difference(sets.New(old.Finalizers...)); added.Len() > 0 {
		return nil, forbid(ctx, "KeyRequestReview", review.Name, v1alpha1.ReasonApproveRequired,
			errors.New("metadata.finalizers: with another finalizer, the review would stay when its request is gone; leave them as they are"))
	}
	if equality.Semantic.DeepEqual(old.Spec.Decision, review.Spec.Decision) {
		return nil, nil
	}
	if old.DeletionTimestamp != nil {
		return nil, forbid(ctx, "KeyRequestReview", review.Name, v1alpha1.ReasonApproveRequired,
			errors.New("spec.decision: the request is gone, or over, and its review is being deleted: nothing would follow"))
	}
	user, err := w.groups.mayNot(ctx, authorizationv1.ResourceAttributes{
		Resource: "groups", Verb: v1alpha1.VerbApprove, Namespace: review.Namespace, Name: review.Spec.Group.Name,
	})
	if err != nil || user == "" {
		return nil, err
	}
	return nil, forbid(ctx, "KeyRequestReview", review.Name, v1alpha1.ReasonApproveRequired, fmt.Errorf(
		"spec.decision: %s does not have the verb approve on Group %q; ask its owner to decide, or for the ClusterRole keyward-group-owner",
		user, shown(review.Spec.Group.Name)))
}

// ValidateDelete accepts everything: an undecided review is created again, and what was decided stays in the request and in the log.
func (w *keyRequestReviews) ValidateDelete(context.Context, *v1alpha1.KeyRequestReview) (admission.Warnings, error) {
	return nil, nil
}

func (w *keyRequestReviews) byManager(ctx context.Context) (bool, error) {
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return false, fmt.Errorf("finding out who sends the request: %w", err)
	}
	return w.self.is(ctx, request.UserInfo.Username)
}
