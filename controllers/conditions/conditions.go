// Package conditions writes status conditions the way kstatus reads them: Ready says how an
// object is, Reconciling and Stalled are present only while they are true.
package conditions

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// StaleRetry is how soon to try again what was decided on an object that has changed since.
// The watch event of the change is on its way, and as a rule comes first.
const StaleRetry = 100 * time.Millisecond

// Set are the conditions of one object, being brought up to an instant.
type Setter struct {
	Conditions *[]metav1.Condition
	Generation int64
	Now        time.Time
}

// Put sets a condition; its transition time changes with its status only.
func (s Setter) Set(kind string, status bool, reason, message string) {
	condition := metav1.Condition{
		Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: clip(message),
		ObservedGeneration: s.Generation, LastTransitionTime: metav1.Time{Time: s.Now.Truncate(time.Second)},
	}
	if status {
		condition.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(s.Conditions, condition)
}

// Only sets a condition while it is true, and removes it otherwise.
func (s Setter) Only(kind string, status bool, reason, message string) {
	if status {
		s.Set(kind, true, reason, message)
		return
	}
	meta.RemoveStatusCondition(s.Conditions, kind)
}

// Summary is what Ready, Reconciling and Stalled say.
type Summary struct {
	Ready bool
	// Working is whether the controller will go on by itself, Stuck whether somebody has to
	// act; an object that is as it was declared to be, but not ready, is neither.
	Reconciling, Stalled bool
	Reason, Message      string
}

// Summarize sets Ready, Reconciling and Stalled.
func (s Setter) SetSummary(summary Summary) {
	s.Set(v1alpha1.ConditionReady, summary.Ready, summary.Reason, summary.Message)
	s.Only(v1alpha1.ConditionReconciling, summary.Reconciling, summary.Reason, summary.Message)
	s.Only(v1alpha1.ConditionStalled, summary.Stalled, summary.Reason, summary.Message)
}

// most is how many bytes a message may have: far less than a condition may hold, since up to three
// conditions repeat it, and others write parts of it, such as API servers with webhooks of their own.
const maxMessage = 4096

func clip(message string) string { return clipTo(message, maxMessage) }

// clipTo keeps a message within a bound.
func clipTo(message string, limit int) string {
	const rest = "…"
	if len(message) <= limit {
		return message
	}
	return strings.ToValidUTF8(message[:limit-len(rest)], "") + rest
}
