package conditions

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReferenceGrace is how long a new object may lack what it refers to until its status says so. Tools that apply a directory create
// an ApiKey before its Group, because that is the order of the alphabet: it would be Stalled for a moment, with a warning,
// and tools that wait for health would give up.
const ReferenceGrace = 5 * time.Second

// GraceLeft returns how long to wait before the status of an object says that something of another object is missing, or 0
// where it has a status, or is not new any more. Until then it is in progress for kstatus.
func GraceLeft(object metav1.Object, observedGeneration int64, now time.Time) time.Duration {
	if observedGeneration > 0 {
		return 0
	}
	return max(object.GetCreationTimestamp().Add(ReferenceGrace).Sub(now), 0)
}
