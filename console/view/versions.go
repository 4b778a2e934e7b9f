package view

import (
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// version is a version of a key, with its life.
func (s *Sight) version(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion) page.Version {
	return page.Version{
		ID: strconv.FormatInt(v.ID, 10), Preview: v.Preview, State: versionState(v.State), Minted: v.MintedAt.Time,
		Replaced: timeOf(v.ReplacedAt), Ends: s.end(key, v), LastUse: timeOf(v.LastUsedAt),
	}
}

// end is when a version ends, or has ended; zero if it never will. The status does not say when a version was revoked: the earliest instant at which
// it can have been is shown for it.
func (s *Sight) end(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion) time.Time {
	planned := lifecycle.RefusedAt(v)
	if v.State != v1alpha1.VersionRevoked || !planned.IsZero() && !planned.After(s.Now) {
		return planned
	}
	accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted)
	switch {
	case ptr.Deref(key.Spec.Revoked, false) && accepted != nil && accepted.Reason == v1alpha1.ReasonRevoked:
		return accepted.LastTransitionTime.Time
	case v.ReplacedAt != nil:
		return v.ReplacedAt.Time
	case v.DeliveredAt != nil && key.Spec.Secret.Reveal == v1alpha1.RevealOnce && v.ClaimedAt == nil:
		return v.DeliveredAt.Add(lifecycle.ClaimWithin)
	}
	return v.MintedAt.Time
}

// enforcement says how far the last change has come. The status names the servers that do not have it in force, at most 10 of each kind.
func enforcement(e *v1alpha1.Enforcement) page.Enforcement {
	if e == nil {
		return page.Enforcement{}
	}
	shown := page.Enforcement{Acknowledged: int64(ptr.Deref(e.Acknowledged, 0)), Servers: int64(ptr.Deref(e.Servers, 0))}
	if took, err := time.ParseDuration(e.Latency); err == nil {
		shown.Took = took
	}
	for _, name := range e.WaitingFor {
		shown.Each = append(shown.Each, page.Server{Name: name, State: page.State{Text: "Waited for", Tone: page.Warn}})
	}
	for _, name := range e.Disconnected {
		shown.Each = append(shown.Each, page.Server{Name: name, State: page.State{Text: "Not connected", Tone: page.Bad}})
	}
	for _, server := range e.Rejecting {
		shown.Each = append(shown.Each, page.Server{Name: server.Server, State: page.State{Text: "Cannot use it: " + server.Reason, Tone: page.Bad}})
	}
	return shown
}
