package lifecycle

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grant"
)

// settle brings one version up to the instant. It reports false for a version to drop.
func (p *planner) settle(v *v1alpha1.KeyVersion) (keep bool) {
	if !Live(v.State) {
		return true
	}
	if Revoked(p.in.Key) {
		p.end(v, v1alpha1.VersionRevoked)
		return true
	}
	p.adoptExpiry(v)
	if ended(v, p.now) {
		p.end(v, v1alpha1.VersionExpired)
		return true
	}
	if v.State == v1alpha1.VersionPending {
		return p.settlePending(v)
	}
	return true
}

// settlePending resolves what a process that died may have left behind.
func (p *planner) settlePending(v *v1alpha1.KeyVersion) (keep bool) {
	if p.carries(v) {
		v.State = v1alpha1.VersionActive
		v.DeliveredAt = &metav1.Time{Time: p.now.Truncate(time.Second)}
		p.note(false, v1alpha1.ReasonDelivered, "version %d (%s) is in Secret %s", v.ID, v.Preview, SecretName(p.in.Key))
		return true
	}
	if p.in.Held == v.ID {
		return true
	}
	p.note(false, v1alpha1.ReasonVersionDropped, "version %d (%s) was never delivered; its text is gone", v.ID, v.Preview)
	return false
}

// adoptExpiry follows an edit of the key's declared expiry. What the Group's policy does
// not allow leaves the version as it is; act reports it.
func (p *planner) adoptExpiry(v *v1alpha1.KeyVersion) {
	if p.in.Group == nil || !grant.DeclaresExpiry(p.in.Key) {
		return
	}
	if at := p.in.Key.Spec.ExpiresAt; at != nil && !at.After(v.MintedAt.Time) {
		// An instant before the minting is not refused here: it says that the key is over.
		v.ExpiresAt = at.DeepCopy()
		return
	}
	expiresAt, problem := grant.Expiry(p.in.Key, p.in.Group, v.MintedAt.Time)
	if problem != nil {
		return
	}
	if expiresAt.IsZero() {
		v.ExpiresAt = nil
	} else {
		v.ExpiresAt = &metav1.Time{Time: expiresAt}
	}
}

// trim forgets the oldest of the versions that ended.
func (p *planner) trim() {
	over := 0
	for i := range p.out.Versions {
		if !Live(p.out.Versions[i].State) {
			over++
		}
	}
	p.out.Versions = slices.DeleteFunc(p.out.Versions, func(v v1alpha1.KeyVersion) bool {
		if Live(v.State) || over <= MaxEnded {
			return false
		}
		over--
		return true
	})
}

func (p *planner) end(v *v1alpha1.KeyVersion, state v1alpha1.VersionState) {
	v.State = state
	reason, what := v1alpha1.ReasonRevoked, "is revoked"
	if state == v1alpha1.VersionExpired {
		reason, what = v1alpha1.ReasonExpired, "has expired"
	}
	p.note(false, reason, "version %d (%s) %s", v.ID, v.Preview, what)
}

// carries is whether the key's own Secret holds the version's text.
func (p *planner) carries(v *v1alpha1.KeyVersion) bool {
	return p.in.Secret.Found && !p.in.Secret.Foreign && p.in.Secret.Digest == v.Digest
}

func (p *planner) note(warning bool, reason, format string, args ...any) {
	p.out.Notes = append(p.out.Notes, Note{Warning: warning, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// ended is whether the version's time is over at the instant, which its expiry excludes.
func ended(v *v1alpha1.KeyVersion, now time.Time) bool {
	return v.ExpiresAt != nil && !now.Before(v.ExpiresAt.Time)
}

// SecretName is the name of the key's Secret.
func SecretName(key *v1alpha1.ApiKey) string {
	if key.Spec.Secret.Name != "" {
		return key.Spec.Secret.Name
	}
	return key.Name
}
