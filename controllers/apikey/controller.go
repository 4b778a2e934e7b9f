// Package apikey reconciles ApiKeys: it gathers the facts, lets lifecycle.Plan decide, performs the one action of the
// plan, and writes the status once.
package apikey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/tier"
)

// FieldOwner owns what the operator sets on Secrets.
const FieldOwner = client.FieldOwner("keyward")

// conflictRetry is how soon a Secret that is in the way is read again: the cache holds only the operator's own Secrets,
// so that no event reports a change of another.
const conflictRetry = 5 * time.Second

var errStale = errors.New("the version was recorded already")

// Log is the log of what happens to keys, which is made from ApiKeys.
type Log interface {
	// MayGo reports whether a deleted object is not needed for the log any more. It is within a minute.
	MayGo(ctx context.Context, object client.Object) bool
}

// Reconciler reconciles ApiKeys.
type Reconciler struct {
	Client client.Client
	// APIReader reads past the cache, which holds only the operator's own Secrets.
	APIReader client.Reader
	Hub       *publish.Hub
	Usage     *usage.Tracker
	// Quotas has what is used of the quotas of keys; nil if nothing is counted.
	Quotas Quotas
	// Seals has the manager's secret, and Memory the keys that must not be accepted again.
	Seals    *seal.Keeper
	Memory   *revoked.Memory
	Tiers    *tier.Catalogue
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Log keeps deleted ApiKeys until it has their events; with nil, there is no log.
	Log Log
	// Random is the source of keys: crypto/rand.Reader.
	Random io.Reader
	// LastUsedResolution is by how much the last use of a version must have advanced to be written.
	LastUsedResolution time.Duration

	pending pendingPlaintexts
	slots   keySlots
}

// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys,verbs=list;watch;patch
// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys/status,verbs=patch
// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys/finalizers,verbs=update
// +kubebuilder:rbac:groups=keyward.dev,resources=groups;domainallowlists,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one ApiKey a step further.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	key := &v1alpha1.ApiKey{}
	if err := r.Client.Get(ctx, request.NamespacedName, key); err != nil {
		if apierrors.IsNotFound(err) {
			r.slots.deleted(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.slots.note(key)
	if key.DeletionTimestamp != nil {
		return r.finalize(ctx, key)
	}
	if err := r.ensureFinalizer(ctx, key); err != nil {
		return ctrl.Result{}, err
	}
	if rekeyed, err := r.rekey(ctx, key); rekeyed || err != nil {
		return stale(err)
	}
	if wrote, err := r.respond(ctx, key); wrote || err != nil {
		return stale(err)
	}
	found, err := r.gather(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	if changed, err := r.updateURLSecrets(ctx, key, found); changed || err != nil {
		return stale(err)
	}
	if problem := found.input.Problem; problem != nil && problem.Elsewhere && len(key.Status.Versions) == 0 {
		if wait := conditions.GraceLeft(key, key.Status.ObservedGeneration, r.Clock.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
	}
	outcome := lifecycle.Plan(found.input, r.Clock.Now())
	if kept, err := r.remember(ctx, key, outcome.Versions); !kept || err != nil {
		return ctrl.Result{RequeueAfter: rememberRetry}, err
	}
	if outcome.Unused != nil && outcome.Unused.Suspend {
		return stale(r.suspendUnused(ctx, key))
	}
	if needsNamespace(outcome) && cache.Terminating(ctx, r.Client, key.Namespace) {
		return ctrl.Result{}, nil // it is deleted with its namespace, and that is an event
	}
	outcome, err = r.perform(ctx, key, found, outcome)
	refused := (*secretError)(nil)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil // the next reconciliation reads the newer object
	case denial.IsTerminating(err):
		return ctrl.Result{}, nil
	case errors.As(err, &refused):
		outcome = blocked(outcome, refused.problem(key))
	case err != nil:
		return ctrl.Result{}, err
	}
	result, notRecorded := r.record(ctx, key, found, outcome)
	if apierrors.IsConflict(notRecorded) {
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	}
	if denial.Is(err) { // the condition shows it
		return denial.Sooner(result, denial.Retry(request.NamespacedName)), notRecorded
	}
	return result, errors.Join(err, notRecorded)
}

// needsNamespace reports whether the action of the plan needs a namespace that accepts new objects.
func needsNamespace(outcome lifecycle.Outcome) bool {
	return startsVersion(outcome) || outcome.Action == lifecycle.Deliver
}

// blocked is the outcome with an obstacle that only showed when the action was tried.
func blocked(outcome lifecycle.Outcome, problem *grant.Problem) lifecycle.Outcome {
	outcome.Action, outcome.Obstacle = lifecycle.None, problem
	if outcome.State == v1alpha1.KeyPending {
		outcome.State = v1alpha1.KeyBlocked
	}
	return outcome
}

// perform performs the action of the plan. It returns the outcome to record, which is a later plan after a delivery.
func (r *Reconciler) perform(ctx context.Context, key *v1alpha1.ApiKey, found *facts,
	outcome lifecycle.Outcome,
) (lifecycle.Outcome, error) {
	switch outcome.Action {
	case lifecycle.Mint, lifecycle.Import:
		if pendingID, _ := r.pending.get(key.UID); pendingID == outcome.Target {
			// This version was recorded, and the cache does not have it yet.
			return outcome, apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), key.Name, errStale)
		}
		if outcome.Action == lifecycle.Import {
			// The cache may not have another ApiKey yet that imports the same text.
			if !r.pending.putUnique(key.UID, outcome.Target, found.imported) {
				return outcome, apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), key.Name, errStale)
			}
			return r.begin(key, outcome, found.imported), nil
		}
		text, err := keyformat.Mint(grant.Prefix(found.input.Group), r.Random)
		if err != nil {
			return outcome, fmt.Errorf("minting: %w", err)
		}
		return r.begin(key, outcome, credentialOf(found.keys, text)), nil
	case lifecycle.Deliver:
		return r.deliver(ctx, key, found, outcome)
	case lifecycle.Keep:
		return r.keep(ctx, key, found, outcome)
	case lifecycle.DeleteSecret:
		return outcome, r.deleteSecret(ctx, found.secret)
	case lifecycle.None, lifecycle.Publish:
	}
	return outcome, nil
}

// begin adds a new version. It takes effect when it is recorded: then it is published to the validation servers, and
// delivered only when all of them accept it.
func (r *Reconciler) begin(key *v1alpha1.ApiKey, outcome lifecycle.Outcome, with credential) lifecycle.Outcome {
	r.pending.put(key.UID, outcome.Target, with)
	failpoint.Here(failpoint.BeforePending)
	outcome.Versions = append(outcome.Versions, lifecycle.NewVersion(key, outcome, with.preview, with.digest, r.Clock.Now()))
	return outcome
}

// deliver writes the pending plaintext into the Secret. The version is Active as soon as it is there.
func (r *Reconciler) deliver(ctx context.Context, key *v1alpha1.ApiKey, found *facts,
	outcome lifecycle.Outcome,
) (lifecycle.Outcome, error) {
	_, text := r.pending.get(key.UID)
	failpoint.Here(failpoint.BeforeSecret)
	version := versionByID(outcome.Versions, outcome.Target)
	err := r.writeSecret(ctx, key, found, version, text.Reveal)
	if apierrors.IsAlreadyExists(err) {
		// Somebody else's Secret, or one that the cache does not have yet: the next reconciliation asks the API server.
		r.pending.drop(key.UID)
		return outcome, err
	}
	if err != nil {
		return outcome, err
	}
	failpoint.Here(failpoint.AfterSecret)
	found.delivered = true
	return r.planAgain(found, version), nil
}

// keep keeps the Secret as declared.
func (r *Reconciler) keep(ctx context.Context, key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) (lifecycle.Outcome, error) {
	text := string(found.secret.Data[v1alpha1.SecretKeyAPIKey])
	version := versionByID(outcome.Versions, outcome.Target)
	if err := r.writeSecret(ctx, key, found, version, func() string { return text }); err != nil {
		return outcome, err
	}
	if outcome.Notify {
		if err := r.notify(ctx, key, found, &outcome); err != nil {
			return outcome, err
		}
	}
	if outcome.Restart {
		if err := r.restart(ctx, key, found, &outcome); err != nil {
			return outcome, err
		}
	}
	return outcome, nil
}

// deleteSecret deletes the Secret, provided that it is exactly as it was read.
func (r *Reconciler) deleteSecret(ctx context.Context, secret *corev1.Secret) error {
	err := r.Client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the Secret: %w", err)
	}
	return nil
}

// planAgain is the plan after the version was written to its Secret. It is recorded before anything else is done.
func (r *Reconciler) planAgain(found *facts, delivered *v1alpha1.KeyVersion) lifecycle.Outcome {
	found.input.Secret = lifecycle.Secret{Found: true, Digest: delivered.Digest}
	outcome := lifecycle.Plan(found.input, r.Clock.Now())
	if outcome.Action != lifecycle.Keep {
		outcome.Action = lifecycle.None
	}
	return outcome
}

func (r *Reconciler) ensureFinalizer(ctx context.Context, key *v1alpha1.ApiKey) error {
	before := key.DeepCopy()
	if !controllerutil.AddFinalizer(key, v1alpha1.FinalizerEnforcement) {
		return nil
	}
	if err := r.Client.Patch(ctx, key, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	return nil
}

func (r *Reconciler) event(object client.Object, warning bool, reason, action, note string) {
	kind := corev1.EventTypeNormal
	if warning {
		kind = corev1.EventTypeWarning
	}
	r.Recorder.Eventf(object, nil, kind, reason, action, "%s", note)
}

func versionByID(versions []v1alpha1.KeyVersion, id int64) *v1alpha1.KeyVersion {
	for i := range versions {
		if versions[i].ID == id {
			return &versions[i]
		}
	}
	return nil
}
