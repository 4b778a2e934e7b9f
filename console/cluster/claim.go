package cluster

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/role"
)

// claims is how often a claim is tried, if something else changes the ApiKey meanwhile: the manager writes its status.
const claims = 5

// Claimable implements web.Desk.
func (d *Desk) Claimable(ctx context.Context, of place.Key) (page.Claim, error) {
	at, err := d.open(ctx, of, role.ChangeKey)
	if err != nil {
		return page.Claim{}, err
	}
	reads, err := d.readsSecret(ctx, at.key)
	if err != nil {
		return page.Claim{}, err
	}
	if !reads {
		return page.Claim{}, forbidden("it needs the right to get the Secret %s in the namespace %s, which no role of a Group includes",
			lifecycle.SecretName(at.key), at.key.Namespace)
	}
	return at.sight.Claim(at.key), nil
}

// Claim implements web.Desk. The text is returned only after the claim is recorded in the ApiKey as it was read, so that of several claims
// one gets it. If its answer is lost on the way, the text is lost: whoever wanted it rotates the key. It needs the right to get the Secret, which
// the roles of a Group do not have.
func (d *Desk) Claim(ctx context.Context, of place.Key) (page.Plaintext, error) {
	for range claims {
		at, err := d.open(ctx, of, role.ChangeKey)
		if err != nil {
			return page.Plaintext{}, err
		}
		text, err := d.claim(ctx, at.key)
		if !apierrors.IsConflict(err) {
			return text, changing(err)
		}
	}
	return page.Plaintext{}, web.ErrConflict
}

// claim claims what the Secret of a key holds. The text is empty if there is none, or somebody has claimed it.
func (d *Desk) claim(ctx context.Context, key *v1alpha1.ApiKey) (page.Plaintext, error) {
	if reason := view.CannotClaim(key); reason != "" {
		return page.Plaintext{}, invalid("", reason)
	}
	secret := &corev1.Secret{}
	err := d.client.Get(ctx, objectKey(key.Namespace, lifecycle.SecretName(key)), secret)
	if apierrors.IsNotFound(err) {
		if current := lifecycle.Current(key.Status.Versions); current == nil || current.DeliveredAt == nil {
			return page.Plaintext{}, invalid("", notDelivered)
		}
		return page.Plaintext{}, nil
	}
	if err != nil {
		return page.Plaintext{}, err
	}
	version, text := keystate.Carried(key, secret)
	if version == nil || version.DeliveredAt == nil {
		return page.Plaintext{}, invalid("", notDelivered)
	}
	id := strconv.FormatInt(version.ID, 10)
	if version.ClaimedAt != nil || secret.Annotations[v1alpha1.AnnotationClaimed] == "true" || lifecycle.ClaimedBy(key, key.Status.KeyID, id) {
		return page.Plaintext{}, nil
	}
	before := key.DeepCopy()
	if key.Annotations == nil {
		key.Annotations = map[string]string{}
	}
	key.Annotations[v1alpha1.AnnotationClaimedVersion] = lifecycle.Claim(key.Status.KeyID, id)
	lock := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := d.client.Patch(ctx, key, lock, fieldOwner); err != nil {
		return page.Plaintext{}, err
	}
	return page.NewPlaintext(text.Reveal()), nil
}

const notDelivered = "The key is not delivered yet. Its page says what it waits for."
