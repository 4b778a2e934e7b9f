package conditions

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// Fresh is how long after a change its acknowledgements are waited for before the status
// says who is missing: as a rule they are all there by then, and one write tells it all.
const Fresh = time.Second

// Hold is how long to hold a status back that lacks nothing but acknowledgements which are,
// as a rule, on their way. Where it is known who is missing, or that a new leader waits, it
// is not held back.
func Hold(e publish.Enforcement, now time.Time) time.Duration {
	switch {
	case e.Complete, e.InStartupGrace:
		return 0
	case !e.Since.IsZero():
		return Fresh - now.Sub(e.Since)
	case len(e.Waiting) > 0:
		return 0
	default:
		return Fresh // the change is still to be published
	}
}

// named is how many servers a status names at most.
const named = 10

// Enforce sets Enforced and returns the enforcement to put beside it.
func (s Set) Enforce(e publish.Enforcement, recordID string) *v1alpha1.Enforcement {
	reason, message := describe(e)
	s.Put(v1alpha1.ConditionEnforced, e.Complete && len(e.Expired) == 0, reason, message)
	status := &v1alpha1.Enforcement{
		Servers:      ptr.To(int32(min(e.Servers, 1<<30))),
		Acknowledged: ptr.To(int32(min(e.Acknowledged, 1<<30))),
		WaitingFor:   e.Waiting[:min(named, len(e.Waiting))],
		Lost:         e.Expired[:min(named, len(e.Expired))],
		Record:       recordID,
	}
	if e.Complete && e.Latency > 0 {
		status.Latency = Latency(e.Latency)
	}
	return status
}

// Latency writes a latency to a tenth of a millisecond.
func Latency(d time.Duration) string {
	return max(d.Round(100*time.Microsecond), 100*time.Microsecond).String()
}

func describe(e publish.Enforcement) (reason, message string) {
	switch {
	case e.Complete && len(e.Expired) > 0:
		return v1alpha1.ReasonServersLost, fmt.Sprintf("in force on %d of %d validation servers; the connection to %s is lost: they decide by what they knew until they are back",
			e.Acknowledged, e.Servers, list(e.Expired))
	case e.Complete && e.Servers == 0:
		return v1alpha1.ReasonNoServers, "no validation server is connected; those to come start from the latest state"
	case e.Complete:
		return v1alpha1.ReasonAcknowledged, fmt.Sprintf("in force on %d of %d validation servers", e.Acknowledged, e.Servers)
	default:
		return v1alpha1.ReasonWaitingForServers, Waiting(e)
	}
}

// Waiting says what an incomplete enforcement waits for.
func Waiting(e publish.Enforcement) string {
	switch {
	case len(e.Waiting) > 0:
		return fmt.Sprintf("%d of %d validation servers have acknowledged; waiting for %s", e.Acknowledged, e.Servers, list(e.Waiting))
	case e.InStartupGrace:
		return "waiting for validation servers to connect to this manager"
	default:
		return "waiting for the change to be published"
	}
}

func list(names []string) string {
	if more := len(names) - named; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:named], ", "), more)
	}
	return strings.Join(names, ", ")
}
