package apikey

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/secrettemplate"
)

// writeSecret creates or changes the Secret so that it is as declared, with the version's text. If it is so already,
// nothing is written.
func (r *Reconciler) writeSecret(ctx context.Context, key *v1alpha1.ApiKey, found *facts, version *v1alpha1.KeyVersion,
	reveal func() string,
) error {
	desired, err := desiredSecret(found.keys, key, version, reveal)
	if err != nil {
		return err
	}
	if found.secret == nil {
		// Create, not apply: a Secret of the name that somebody else creates at this moment stays theirs.
		return newSecretError(r.Client.Create(ctx, desired, FieldOwner), reveal())
	}
	if isAsDeclared(found.secret, desired) {
		return nil
	}
	return newSecretError(r.applySecret(ctx, found.secret, desired), reveal())
}

func desiredSecret(keys *seal.Keys, key *v1alpha1.ApiKey, version *v1alpha1.KeyVersion, reveal func() string) (*corev1.Secret, error) {
	template := key.Spec.Secret.Template
	expiresAt := ""
	if version.ExpiresAt != nil {
		expiresAt = version.ExpiresAt.UTC().Format(time.RFC3339)
	}
	values := secrettemplate.Values{
		Key: reveal, KeyID: publish.KeyID(key.UID), Name: key.Name, Namespace: key.Namespace,
		Group:     cache.GroupName(key.Spec.GroupRef, key.Namespace).String(),
		ExpiresAt: expiresAt,
	}
	for _, project := range key.Spec.Projects {
		values.Projects = append(values.Projects, string(project))
	}
	data, err := secrettemplate.Render(template.Data, values)
	if err != nil {
		return nil, fmt.Errorf("spec.secret.template.data: %w", err)
	}
	data[v1alpha1.SecretKeyAPIKey] = []byte(reveal())

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: lifecycle.SecretName(key),
			Labels: map[string]string{}, Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(key, v1alpha1.GroupVersion.WithKind("ApiKey"))},
		},
		Type: corev1.SecretType(template.Type),
		Data: data,
	}
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	for name, value := range template.Labels {
		secret.Labels[name] = string(value)
	}
	secret.Labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	secret.Labels[v1alpha1.LabelAPIKey] = values.KeyID
	for name, value := range template.Annotations {
		secret.Annotations[name] = string(value)
	}
	secret.Annotations[v1alpha1.AnnotationVersion] = strconv.FormatInt(version.ID, 10)
	secret.Annotations[v1alpha1.AnnotationPreview] = version.Preview
	secret.Annotations[v1alpha1.AnnotationAPIKey] = key.Name
	secret.Annotations[v1alpha1.AnnotationMintedAt] = version.MintedAt.UTC().Format(time.RFC3339)
	rotation, _ := grant.RotationOf(key)
	if at := rotation.RotatesAt(key, version); !at.IsZero() {
		secret.Annotations[v1alpha1.AnnotationRotatesAt] = at.UTC().Format(time.RFC3339)
	}
	if expiresAt != "" {
		secret.Annotations[v1alpha1.AnnotationExpiresAt] = expiresAt
	}
	secret.Annotations[v1alpha1.AnnotationSeal] = keys.Seal(sealed(key, secret))
	return secret, nil
}

// isAsDeclared reports whether the Secret has what is declared, and the operator owns no other fields of it: what a
// template no longer sets has to be removed, what others have added is theirs.
func isAsDeclared(secret, desired *corev1.Secret) bool {
	if owner := metav1.GetControllerOf(secret); owner == nil || owner.UID != desired.OwnerReferences[0].UID {
		return false
	}
	if !contains(secret.Labels, desired.Labels) || !contains(secret.Annotations, desired.Annotations) {
		return false
	}
	for name, value := range desired.Data {
		if !bytes.Equal(secret.Data[name], value) {
			return false
		}
	}
	has := ownedFields(secret)
	return owns(has.labels, desired.Labels) && owns(has.annotations, desired.Annotations) && owns(has.data, desired.Data)
}

func contains(all, some map[string]string) bool {
	for name, value := range some {
		if have, ok := all[name]; !ok || have != value {
			return false
		}
	}
	return true
}

// applySecret changes exactly the Secret that was read, by server-side apply. The ownership of fields that were set at
// creation is first converted to that of apply, so that a field that is no longer declared is removed.
func (r *Reconciler) applySecret(ctx context.Context, secret, desired *corev1.Secret) error {
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(secret, sets.New(string(FieldOwner)), string(FieldOwner))
	if err != nil {
		return fmt.Errorf("reading the field owners: %w", err)
	}
	if patch != nil {
		if err := r.Client.Patch(ctx, secret.DeepCopy(), client.RawPatch(types.JSONPatchType, patch)); err != nil {
			return fmt.Errorf("taking over the fields: %w", err)
		}
	}
	owner := desired.OwnerReferences[0]
	apply := corev1ac.Secret(desired.Name, desired.Namespace).
		WithUID(secret.UID).
		WithLabels(desired.Labels).
		WithAnnotations(desired.Annotations).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(owner.APIVersion).WithKind(owner.Kind).WithName(owner.Name).WithUID(owner.UID).
			WithController(*owner.Controller).WithBlockOwnerDeletion(*owner.BlockOwnerDeletion)).
		WithType(desired.Type).
		WithData(desired.Data)
	return r.Client.Apply(ctx, apply, FieldOwner, client.ForceOwnership)
}
