// Package conditions writes the status conditions of Keyward's kinds, in the way that kstatus reads them. The
// table of types says of each when it is there, which reasons it has, and what is worth an event.
package conditions

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// StaleRetry is the delay before a decision is made again that was based on an object which has changed since.
// The watch event of the change is on its way, and usually arrives first.
const StaleRetry = 100 * time.Millisecond

// Setter sets the conditions of one object as of an instant.
type Setter struct {
	Conditions *[]metav1.Condition
	Generation int64
	Now        time.Time
}

// Set sets a condition, or removes it where its type is there only while it is true. Its transition time changes
// only with its status.
func (s Setter) Set(kind string, status bool, reason, message string) {
	if t := typeOf(kind); !status && t != nil && t.OnlyWhileTrue {
		meta.RemoveStatusCondition(s.Conditions, kind)
		return
	}
	condition := metav1.Condition{
		Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: clip(message),
		ObservedGeneration: s.Generation, LastTransitionTime: metav1.Time{Time: s.Now.Truncate(time.Second)},
	}
	if status {
		condition.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(s.Conditions, condition)
}

// Summary is what Ready, Reconciling and Stalled say. An object that is not ready is reconciling or stalled.
type Summary struct {
	// Ready reports whether the declared state is reached.
	Ready bool
	// Reconciling reports whether the controller continues automatically, Stalled whether it waits for somebody to act.
	Reconciling, Stalled bool
	Reason, Message      string
}

// SetSummary sets Ready, Reconciling and Stalled.
func (s Setter) SetSummary(summary Summary) {
	s.Set(v1alpha1.ConditionReady, summary.Ready, summary.Reason, summary.Message)
	progress := summary.Reason
	if progress == v1alpha1.ReasonReady {
		progress = v1alpha1.ReasonPublishing
	}
	s.Set(v1alpha1.ConditionReconciling, summary.Reconciling, progress, summary.Message)
	s.Set(v1alpha1.ConditionStalled, summary.Stalled, summary.Reason, summary.Message)
}

// maxMessage is the most bytes of a message: far fewer than a condition may hold, since up to three
// conditions repeat it, and others write parts of it, such as API servers with webhooks of their own.
const maxMessage = 4096

func clip(message string) string { return clipTo(message, maxMessage) }

// clipTo keeps a message within a limit.
func clipTo(message string, limit int) string {
	const rest = "…"
	if len(message) <= limit {
		return message
	}
	return strings.ToValidUTF8(message[:limit-len(rest)], "") + rest
}
