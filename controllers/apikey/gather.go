package apikey

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/api/keyformat"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey/lifecycle"
	"github.com/keyward-dev/keyward/controllers/apikey/secrettemplate"
	"github.com/keyward-dev/keyward/controllers/grant"
	"github.com/keyward-dev/keyward/controllers/lookup"
	"github.com/keyward-dev/keyward/controllers/snapshot"
)

// facts are what a reconciliation goes by.
type facts struct {
	input  lifecycle.Input
	secret *corev1.Secret // nil where there is none, or a foreign one

	// recordID and enforcement are about the record that follows from the object as it is.
	recordID    string
	enforcement snapshot.Enforcement
}

func (r *Reconciler) gather(ctx context.Context, key *v1alpha1.ApiKey) (*facts, error) {
	group, problem, err := lookup.ForKey(ctx, r.Client, key)
	if err != nil {
		return nil, err
	}
	f := &facts{input: lifecycle.Input{Key: key, Group: group, Problem: problem}}
	f.input.Held, _ = r.held.get(key.UID)

	if err := r.gatherSecret(ctx, key, f); err != nil {
		return nil, err
	}
	if err := secrettemplate.Check(key.Spec.Secret.Template.Data); err != nil {
		f.input.Template = &grant.Problem{
			Reason: v1alpha1.ReasonSecretTemplateInvalid,
			Field:  "spec.secret.template.data", Message: err.Error(),
		}
	}
	r.gatherEnforcement(key, problem, f)
	return f, nil
}

// gatherSecret looks for the key's Secret. The cache holds the operator's own Secrets only,
// and may lag; before something irreversible follows from an absence, the API server is asked.
func (r *Reconciler) gatherSecret(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	name := types.NamespacedName{Namespace: key.Namespace, Name: lifecycle.SecretName(key)}
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, name, secret)
	if err == nil {
		f.found(key, secret)
	} else if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading Secret %s: %w", name, err)
	}
	if !mintsNext(f) {
		return nil
	}
	live := &corev1.Secret{}
	switch err := r.APIReader.Get(ctx, name, live); {
	case apierrors.IsNotFound(err):
		f.secret, f.input.Secret = nil, lifecycle.Secret{}
	case err != nil:
		return fmt.Errorf("reading Secret %s: %w", name, err)
	default:
		f.found(key, live)
	}
	return nil
}

// mintsNext is whether, by what is known so far, a version is missing from its Secret that
// this process could not put there.
func mintsNext(f *facts) bool {
	if lifecycle.Revoked(f.input.Key) {
		return false
	}
	current := lifecycle.Current(f.input.Key.Status.Versions)
	if current == nil {
		return len(f.input.Key.Status.Versions) == 0
	}
	return current.Digest != f.input.Secret.Digest && f.input.Held == 0
}

func (f *facts) found(key *v1alpha1.ApiKey, secret *corev1.Secret) {
	f.input.Secret = lifecycle.Secret{Found: true, Foreign: !metav1.IsControlledBy(secret, key)}
	f.secret = nil
	if f.input.Secret.Foreign {
		return
	}
	f.secret = secret
	if text := secret.Data[v1alpha1.SecretKeyAPIKey]; len(text) > 0 {
		f.input.Secret.Digest = keyformat.DigestOf(string(text)).String()
	}
}

// gatherEnforcement asks the Hub only about what is not known to be in force already: an
// idle cluster, a restart of the manager, a server that comes or goes write nothing.
func (r *Reconciler) gatherEnforcement(key *v1alpha1.ApiKey, problem *grant.Problem, f *facts) {
	f.recordID = snapshot.NoRecord
	if record := snapshot.KeyRecord(key, problem); record != nil {
		f.recordID = snapshot.RecordID(record)
	}
	was := key.Status.Enforcement
	if was == nil && f.recordID == snapshot.NoRecord {
		return
	}
	if was != nil && was.Record == f.recordID && isEnforced(key) {
		f.input.Published = true
		return
	}
	f.enforcement = r.Hub.Enforcement(snapshot.Subject{
		Ref:    snapshot.KeyRef(snapshot.KeyID(key.UID)),
		Group:  lookup.GroupName(key.Spec.GroupRef, key.Namespace).String(),
		Object: types.NamespacedName{Namespace: key.Namespace, Name: key.Name},
	}, f.recordID)
	f.input.Published = f.enforcement.Complete
}
