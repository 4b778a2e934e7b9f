package lifecycle

import (
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// restartTogether is how long after a delivery a workload is rolled that another key may roll, too: keys that rotate together
// roll it once. It is a small part of the overlap, in which the earlier text is accepted.
const (
	restartTogether = 10 * time.Second
	restartPart     = 10
)

// followUp plans what follows a delivery. What is lost again at once is not worth a roll.
func (p *planner) followUp(active *v1alpha1.KeyVersion) {
	if p.contested() {
		return
	}
	secret := &p.in.Key.Spec.Secret
	p.out.Notify = len(secret.Notify) > 0 && active.NotifiedAt == nil
	if len(secret.Restart) == 0 || active.RestartedAt != nil || !Replaces(active) {
		return
	}
	at := p.now
	if p.in.SharedRestart && active.DeliveredAt != nil {
		at = active.DeliveredAt.Add(min(restartTogether, p.rotation.Overlap/restartPart))
	}
	p.wakeAt(at)
	p.out.Restart = !p.now.Before(at)
}

// Replaces reports whether the version has replaced an earlier one, so that workloads which read that have to be rolled.
func Replaces(v *v1alpha1.KeyVersion) bool {
	first := []v1alpha1.VersionCause{"", v1alpha1.CauseCreated, v1alpha1.CauseImported, v1alpha1.CauseRestored}
	return !slices.Contains(first, v.Cause)
}
