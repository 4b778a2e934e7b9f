package e2e

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// liveThroughRequests has a key of a Group requested, approved by the key policy, withdrawn, and the request deleted with its review.
func (w *world) liveThroughRequests(group string) {
	w.t.Helper()
	owner := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: group}}
	w.mergePatch(owner, `{"spec":{"keyPolicy":{"requests":"Automatic"}}}`)
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asked"}}
	request.Spec = v1alpha1.KeyRequestSpec{
		GroupRef: v1alpha1.GroupReference{Name: group}, Projects: []v1alpha1.ProjectName{"marketing"}, UseCase: "A page of offers",
	}
	w.create(request)
	w.awaitRequested(request, v1alpha1.KeyRequestIssued)
	w.awaitKey(request.Name, "ready", isReady)

	review := w.reviewOf(request)
	w.mergePatch(review, `{"spec":{"decision":{"verdict":"Withdrawn","reason":"The offers are over"}}}`)
	w.awaitRequested(request, v1alpha1.KeyRequestWithdrawn)
	w.awaitKey(request.Name, "revoked", func(key *v1alpha1.ApiKey) bool { return ptr.Deref(key.Spec.Revoked, false) })
	if err := w.admin.Delete(w.ctx, request); err != nil {
		w.t.Fatal(err)
	}
	w.awaitGone(review.Name, &v1alpha1.KeyRequestReview{})
}

func (w *world) awaitRequested(request *v1alpha1.KeyRequest, state v1alpha1.KeyRequestState) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("KeyRequest %s to be %s", request.Name, state), patience, func() error {
		if err := w.admin.Get(w.ctx, client.ObjectKeyFromObject(request), request); err != nil {
			return err
		}
		if request.Status.State != state {
			return fmt.Errorf("it is %q: %v", request.Status.State, request.Status.Conditions)
		}
		return nil
	})
}

// reviewOf is the review of a request, as an owner finds it.
func (w *world) reviewOf(request *v1alpha1.KeyRequest) *v1alpha1.KeyRequestReview {
	w.t.Helper()
	list := &v1alpha1.KeyRequestReviewList{}
	if err := w.admin.List(w.ctx, list); err != nil {
		w.t.Fatal(err)
	}
	for i := range list.Items {
		if list.Items[i].Spec.Request.UID == request.UID {
			return &list.Items[i]
		}
	}
	w.t.Fatalf("KeyRequest %s has no review", request.Name)
	return nil
}
