package v1alpha1

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/specchange"
)

// deletions stamps who deletes an object on the object, while it still exists: the log of its Group names them. It never prevents a
// deletion: an object without a stamp was deleted by somebody who is not known.
type deletions struct {
	client client.Client
	clock  clock.PassiveClock
}

// Handle implements admission.Handler.
func (d *deletions) Handle(ctx context.Context, request admission.Request) admission.Response {
	if ptr.Deref(request.DryRun, false) {
		return admission.Allowed("")
	}
	object := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(request.OldObject.Raw, object); err != nil {
		logf.FromContext(ctx).Error(err, "A deletion is recorded without who asked for it")
		return admission.Allowed("")
	}
	deletion := specchange.Change{
		At: d.clock.Now().UTC().Truncate(time.Millisecond), User: request.UserInfo.Username, Groups: request.UserInfo.Groups,
		Via: specchange.ViaDeletion(request.UserInfo.Username),
	}
	// The API server asks again, because the object was changed by the stamp.
	if earlier := specchange.Deletion(object.Annotations); object.DeletionTimestamp != nil ||
		earlier != nil && earlier.User == deletion.User && deletion.At.Sub(earlier.At) < specchange.DeletionStampValid/2 {
		return admission.Allowed("")
	}
	if err := d.stamp(ctx, object, deletion); err != nil {
		logf.FromContext(ctx).Error(err, "A deletion is recorded without who asked for it")
	}
	return admission.Allowed("")
}

func (d *deletions) stamp(ctx context.Context, object *metav1.PartialObjectMetadata, deletion specchange.Change) error {
	value, err := specchange.EncodeDeletion(deletion)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": object.UID, "annotations": map[string]string{v1alpha1.AnnotationDeletedBy: value},
	}})
	if err != nil {
		return fmt.Errorf("encoding the stamp: %w", err)
	}
	return d.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}

// self finds out as whom the manager is known to the API server.
type self struct {
	client client.Client

	mu   sync.Mutex
	name string
}

// is reports whether the user is the manager.
func (s *self) is(ctx context.Context, user string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == "" {
		review := &authenticationv1.SelfSubjectReview{}
		if err := s.client.Create(ctx, review); err != nil {
			return false, fmt.Errorf("asking the API server who the manager is: %w", err)
		}
		s.name = review.Status.UserInfo.Username
	}
	return s.name == user, nil
}
