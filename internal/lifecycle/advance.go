package lifecycle

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// advance advances one version to the instant. It reports false for a version that has to be dropped. A version that
// ended at a published instant stays ended, even if something else was declared since.
func (p *planner) advance(v *v1alpha1.KeyVersion) (keep bool) {
	switch {
	case !Live(v.State):
		return true
	case Revoked(p.in.Key):
		p.end(v, v1alpha1.VersionRevoked)
		return true
	case Passed(v.ExpiresAt, p.now):
		p.end(v, v1alpha1.VersionExpired)
		return true
	case v.State == v1alpha1.VersionRetiring && Passed(v.RetiresAt, p.now):
		p.end(v, v1alpha1.VersionRetired)
		return true
	}
	if p.adoptExpiry(v); Passed(v.ExpiresAt, p.now) {
		p.end(v, v1alpha1.VersionExpired)
		return true
	}
	if v.State == v1alpha1.VersionPending {
		return p.advancePending(v)
	}
	return true
}

// advancePending resolves what a process that died may have left.
func (p *planner) advancePending(v *v1alpha1.KeyVersion) (keep bool) {
	if p.carries(v) {
		v.State = v1alpha1.VersionActive
		v.DeliveredAt = seconds(p.now)
		if v.Cause != v1alpha1.CauseCreated { // for the first the status says the same, and each event is a write
			p.note(false, v1alpha1.ReasonDelivered, "version %d (%s) is in Secret %s", v.ID, v.Preview, SecretName(p.in.Key))
		}
		return true
	}
	if p.in.Pending == v.ID {
		return true
	}
	p.note(false, v1alpha1.ReasonVersionDropped, "version %d (%s) was never delivered; its text is lost", v.ID, v.Preview)
	return false
}

// adoptExpiry applies an edit of the key's declared expiry. A policy of the Group that was tightened since does not
// shorten the life of a version.
func (p *planner) adoptExpiry(v *v1alpha1.KeyVersion) {
	if p.in.Group == nil || !grant.DeclaresExpiry(p.in.Key) {
		return
	}
	if at := p.in.Key.Spec.ExpiresAt; at != nil && !at.After(v.MintedAt.Time) {
		// An instant before the minting is not refused here: it declares that the key has ended.
		v.ExpiresAt = at.DeepCopy()
		return
	}
	expiresAt, problem := grant.ExpiryOfExisting(p.in.Key, p.in.Group, v.MintedAt.Time, timeOf(v.ExpiresAt))
	if problem != nil {
		return
	}
	if expiresAt.IsZero() {
		v.ExpiresAt = nil
	} else {
		v.ExpiresAt = &metav1.Time{Time: expiresAt}
	}
}

// trim forgets the oldest ended versions.
func (p *planner) trim() {
	ended := 0
	for i := range p.out.Versions {
		if !Live(p.out.Versions[i].State) {
			ended++
		}
	}
	p.out.Versions = slices.DeleteFunc(p.out.Versions, func(v v1alpha1.KeyVersion) bool {
		if Live(v.State) || ended <= MaxEnded {
			return false
		}
		ended--
		return true
	})
}

func (p *planner) end(v *v1alpha1.KeyVersion, state v1alpha1.VersionState) {
	v.State = state
	reason, what := v1alpha1.ReasonRevoked, "is revoked"
	switch state {
	case v1alpha1.VersionExpired:
		reason, what = v1alpha1.ReasonExpired, "has expired"
	case v1alpha1.VersionRetired:
		reason, what = v1alpha1.ReasonRetired, "is retired: its overlap has ended"
	}
	p.note(false, reason, "version %d (%s) %s", v.ID, v.Preview, what)
}

// carries reports whether the key's own Secret holds the version's text.
func (p *planner) carries(v *v1alpha1.KeyVersion) bool {
	return p.in.Secret.Found && !p.in.Secret.Foreign && p.in.Secret.Digest == v.Digest
}

func (p *planner) note(warning bool, reason, format string, args ...any) {
	p.out.Notes = append(p.out.Notes, Note{Warning: warning, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// SecretName is the name of the key's Secret.
func SecretName(key *v1alpha1.ApiKey) string {
	if key.Spec.Secret.Name != "" {
		return key.Spec.Secret.Name
	}
	return key.Name
}
