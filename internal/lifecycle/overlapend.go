package lifecycle

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// OverlapEnds returns when the overlap of a version of the key ends by what is declared and was requested; the zero time if no version has
// replaced it. A version that was no longer used may have retired earlier.
func OverlapEnds(key *v1alpha1.ApiKey, group *v1alpha1.Group, version *v1alpha1.KeyVersion) time.Time {
	if version.ReplacedAt == nil {
		return time.Time{}
	}
	p := &planner{in: Input{Key: key, Group: group}, out: Outcome{Versions: key.Status.Versions}}
	p.rotation, _ = grant.RotationUnder(key, group)
	return p.overlapEnd(version)
}
