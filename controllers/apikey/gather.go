package apikey

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// facts are what a reconciliation is based on.
type facts struct {
	input  lifecycle.Input
	keys   *seal.Keys
	secret *corev1.Secret // nil where there is none, or a foreign one

	imported         credential     // the key that spec.importFrom names, where it matters
	importImpossible bool           // spec.importFrom names nothing that can ever exist
	delivered        bool           // in this reconciliation
	followUpProblem  *grant.Problem // why workloads are not rolled, or others not notified, though the key works
	lost             bool           // the text of the version that was delivered last is not in the Secret

	// recordID and enforcement are about the record that is published for the object as it is.
	recordID    string
	enforcement publish.Enforcement
	// enforcementQueried reports whether the Hub was asked about the record.
	enforcementQueried bool
}

func (r *Reconciler) gather(ctx context.Context, key *v1alpha1.ApiKey) (*facts, error) {
	group, granted, err := cache.CachedGroupForKey(ctx, r.Client, key)
	if err != nil {
		return nil, err
	}
	f := &facts{input: lifecycle.Input{Key: key, Group: group, Granted: granted}}
	f.usePending(r.pending.get(key.UID))

	if f.keys, err = r.Seals.Keys(ctx); err != nil {
		return nil, err
	}
	if err := r.gatherSecret(ctx, key, f); err != nil {
		return nil, err
	}
	f.input.Unverifiable = f.unverifiable(key)
	f.input.Template = grant.Template(key)
	if err := r.gatherSlot(ctx, key, f); err != nil {
		return nil, err
	}
	if err := r.gatherImport(ctx, key, f); err != nil {
		return nil, err
	}
	if err := r.gatherSharedRestart(ctx, key, f); err != nil {
		return nil, err
	}
	r.gatherEnforcement(key, f)
	r.gatherUsage(key, f)
	return f, nil
}

// usePending notes which version is pending, and whether its text is known.
func (f *facts) usePending(version int64, text keyformat.Key) {
	f.input.Pending, f.input.WithoutText = version, version != 0 && text.IsZero()
}

// gatherSecret looks for the key's Secret. The cache holds only the operator's own Secrets, and may lag. Before an absence
// has an irreversible consequence, the API server is asked.
func (r *Reconciler) gatherSecret(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	name := types.NamespacedName{Namespace: key.Namespace, Name: lifecycle.SecretName(key)}
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, name, secret)
	if err == nil {
		f.useSecret(key, secret)
	} else if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading Secret %s: %w", name, err)
	}
	if f.lost = mintsNext(f); !f.lost {
		return nil
	}
	live := &corev1.Secret{}
	switch err := r.APIReader.Get(ctx, name, live); {
	case apierrors.IsNotFound(err):
		f.secret, f.input.Secret = nil, lifecycle.Secret{}
	case err != nil:
		return fmt.Errorf("reading Secret %s: %w", name, err)
	default:
		f.useSecret(key, live)
	}
	f.lost = mintsNext(f)
	return r.gatherRestorable(ctx, key, f)
}

// mintsNext reports whether, as far as is known yet, a version is missing from its Secret and this process does not have
// its text.
func mintsNext(f *facts) bool {
	if lifecycle.Revoked(f.input.Key) {
		return false
	}
	current := lifecycle.Current(f.input.Key.Status.Versions)
	if current == nil {
		return len(f.input.Key.Status.Versions) == 0 && f.input.Problem == nil
	}
	// With a delivered version beside it, the pending one says nothing about the Secret.
	hasText := f.input.Pending != 0 && current.State != v1alpha1.VersionActive
	return current.ClaimedAt == nil && current.Digest != f.input.Secret.Digest && !hasText
}

func (f *facts) useSecret(key *v1alpha1.ApiKey, secret *corev1.Secret) {
	f.secret = nil
	f.input.Secret = lifecycle.Secret{Found: true}
	text := string(secret.Data[v1alpha1.SecretKeyAPIKey])
	if text != "" {
		f.input.Secret.Digest = digestOf(f.keys, text)
	}
	if f.input.Secret.Foreign = !belongs(key, secret, f.input.Secret.Digest); f.input.Secret.Foreign {
		if owner := metav1.GetControllerOf(secret); isOther(owner, key) {
			f.input.Secret.Owner = owner.Name
		}
		return
	}
	f.secret = secret
	version := secret.Annotations[v1alpha1.AnnotationVersion]
	f.input.Secret.Claimed = secret.Annotations[v1alpha1.AnnotationClaimed] == "true" ||
		lifecycle.ClaimedBy(key, publish.KeyID(key.UID), version)
}

// gatherEnforcement asks the Hub only about records that are not known to be in force: an idle cluster, a restart of the
// manager, a server that connects or disconnects cause no writes.
func (r *Reconciler) gatherEnforcement(key *v1alpha1.ApiKey, f *facts) {
	f.recordID = publish.NoRecord
	if record := publish.SigningKeyRecord(key, f.input.Granted, f.keys.OpenURLSecret); record != nil {
		f.recordID = publish.RecordID(record)
	}
	was := key.Status.Enforcement
	if was == nil && f.recordID == publish.NoRecord {
		return
	}
	subject := publish.Subject{
		Ref:    publish.KeyRef(publish.KeyID(key.UID)),
		Group:  cache.GroupName(key.Spec.GroupRef, key.Namespace).String(),
		Object: types.NamespacedName{Namespace: key.Namespace, Name: key.Name},
	}
	if was != nil && was.Record == f.recordID && isEnforced(key) && !r.Hub.IsRejected(subject) {
		f.input.Published = true
		return
	}
	f.enforcementQueried = true
	f.enforcement = r.Hub.Enforcement(subject, f.recordID)
	f.input.Published = f.enforcement.Deliverable
}

// gatherUsage gathers what validation servers have reported about the use of the key's versions. If fewer servers are
// known, connected or not, than the key was once published to, the missing ones may still accept it; a new leader has no
// other way to know of them.
func (r *Reconciler) gatherUsage(key *v1alpha1.ApiKey, f *facts) {
	versions := key.Status.Versions
	digests := make([]keyformat.Digest, len(versions))
	for i := range versions {
		read, _ := keyformat.ReadDigest(versions[i].Digest) // the schema admits no other form
		digests[i] = read.Digest
	}
	group := cache.GroupName(key.Spec.GroupRef, key.Namespace).String()
	watched := f.input.Group != nil && lifecycle.WatchesUse(&f.input.Group.Spec.KeyPolicy)
	report := r.Usage.Of(group, digests, oldestAsked(versions, watched))
	f.input.Usage = lifecycle.Usage{Since: report.Since, Through: report.Through, Of: make(map[string]lifecycle.Use, len(versions))}
	if enforcement := key.Status.Enforcement; enforcement != nil &&
		report.Servers+r.Hub.AbsentServers(group) < int(ptr.Deref(enforcement.Servers, 0)) {
		f.input.Usage.Through = time.Time{}
	}
	for i := range versions {
		if use := report.Of[i]; !use.Last.IsZero() {
			f.input.Usage.Of[versions[i].Digest] = lifecycle.Use{Last: use.Last, Clients: use.Clients, More: use.More}
		}
	}
}

// oldestAsked is the time since which servers may have known a version whose use matters: one that is in its overlap, or, if the use of
// the key is watched, any that is accepted; nil without one. A text that was imported or restored may be older than its version here.
func oldestAsked(versions []v1alpha1.KeyVersion, watched bool) (oldest *time.Time) {
	for i := range versions {
		v := &versions[i]
		if v.State != v1alpha1.VersionRetiring && (!watched || !lifecycle.Live(v.State)) {
			continue
		}
		minted := v.MintedAt.Time
		if v.Cause == v1alpha1.CauseImported || v.Cause == v1alpha1.CauseRestored {
			minted = time.Time{}
		}
		if oldest == nil || minted.Before(*oldest) {
			oldest = &minted
		}
	}
	return oldest
}
