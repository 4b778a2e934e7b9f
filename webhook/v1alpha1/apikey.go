package v1alpha1

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey/secrettemplate"
	"github.com/keyward-dev/keyward/controllers/grant"
	"github.com/keyward-dev/keyward/controllers/lookup"
)

type apiKeys struct {
	reader client.Reader
}

// Default stamps who creates the key, and holds the object from its first moment on, which
// saves the controller a write.
func (w *apiKeys) Default(ctx context.Context, key *v1alpha1.ApiKey) error {
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	switch request.Operation {
	case admissionv1.Create:
		metav1.SetMetaDataAnnotation(&key.ObjectMeta, v1alpha1.AnnotationCreatedBy, request.UserInfo.Username)
		controllerutil.AddFinalizer(key, v1alpha1.FinalizerEnforcement)
	case admissionv1.Update:
		// A manifest that is put in place of the object does not have the stamp.
		old := &metav1.PartialObjectMetadata{}
		if err := json.Unmarshal(request.OldObject.Raw, old); err != nil {
			return fmt.Errorf("reading the old object: %w", err)
		}
		creator, stamped := old.Annotations[v1alpha1.AnnotationCreatedBy]
		if _, has := key.Annotations[v1alpha1.AnnotationCreatedBy]; stamped && !has {
			metav1.SetMetaDataAnnotation(&key.ObjectMeta, v1alpha1.AnnotationCreatedBy, creator)
		}
	case admissionv1.Delete, admissionv1.Connect:
	}
	return nil
}

// ValidateCreate checks the key against its Group.
func (w *apiKeys) ValidateCreate(ctx context.Context, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	return w.validate(ctx, key)
}

// ValidateUpdate checks a changed key against its Group; what has not changed may have
// become wrong since, and then must not be in the way of a finalizer or a label.
func (w *apiKeys) ValidateUpdate(ctx context.Context, old, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	const stamp = v1alpha1.AnnotationCreatedBy
	if old.Annotations[stamp] != key.Annotations[stamp] {
		return nil, invalid("ApiKey", key.Name, "metadata.annotations["+stamp+"]",
			"it is set when the object is created and cannot change; remove it from the manifest")
	}
	if key.DeletionTimestamp != nil || equality.Semantic.DeepEqual(old.Spec, key.Spec) || endsKey(old, key) {
		return nil, nil
	}
	return w.validate(ctx, key)
}

// endsKey is whether the change suspends or revokes the key: nothing may be in the way of that.
func endsKey(old, key *v1alpha1.ApiKey) bool {
	rest := key.Spec.DeepCopy()
	rest.Suspended, rest.Revoked = old.Spec.Suspended, old.Spec.Revoked
	return equality.Semantic.DeepEqual(old.Spec, *rest)
}

// ValidateDelete allows every deletion.
func (w *apiKeys) ValidateDelete(context.Context, *v1alpha1.ApiKey) (admission.Warnings, error) {
	return nil, nil
}

func (w *apiKeys) validate(ctx context.Context, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	if err := secrettemplate.Check(key.Spec.Secret.Template.Data); err != nil {
		return nil, invalid("ApiKey", key.Name, "spec.secret.template.data", err.Error())
	}
	group, problem, err := lookup.ForKey(ctx, w.reader, key)
	if err != nil {
		return nil, err
	}
	if problem == nil {
		_, problem = grant.Expiry(key, group, minting(key))
	}
	return answer("ApiKey", key.Name, problem)
}

// minting is when the version whose expiry is in question was or will be minted. An edited
// instant in the past is how a key is made to end now.
func minting(key *v1alpha1.ApiKey) time.Time {
	versions := key.Status.Versions
	if len(versions) == 0 {
		return metav1.Now().Time
	}
	minted := versions[len(versions)-1].MintedAt.Time
	if at := key.Spec.ExpiresAt; at != nil && !at.After(minted) {
		return at.Add(-time.Second)
	}
	return minted
}
