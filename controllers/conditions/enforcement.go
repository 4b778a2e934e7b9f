package conditions

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// AckWait is how long acknowledgements are awaited after a change before the status names the servers that are
// missing. Usually all have arrived by then, and a single write reports everything.
const AckWait = time.Second

// Hold is how long to delay a status that lacks nothing but acknowledgements which are probably on their way.
// Where it is known which servers are missing, or that a new leader waits, the status is not delayed.
func Hold(e publish.Enforcement, now time.Time) time.Duration {
	switch {
	case e.Complete, e.InStartupGrace:
		return 0
	case !e.Since.IsZero():
		return AckWait - now.Sub(e.Since)
	case len(e.Waiting) > 0:
		return 0
	default:
		return AckWait // the change is still to be published
	}
}

// maxNamed is how many servers a status names at most.
const maxNamed = 10

// SetEnforced sets Enforced and returns the enforcement to put beside it.
func (s Setter) SetEnforced(e publish.Enforcement, recordID string) *v1alpha1.Enforcement {
	reason, message := describe(e)
	s.Set(v1alpha1.ConditionEnforced, e.Complete && len(e.Expired)+len(e.Rejecting) == 0, reason, message)
	status := &v1alpha1.Enforcement{
		Servers:      ptr.To(int32(min(e.Servers, 1<<30))),
		Acknowledged: ptr.To(int32(min(e.Acknowledged, 1<<30))),
		WaitingFor:   e.Waiting[:min(maxNamed, len(e.Waiting))],
		Disconnected: e.Expired[:min(maxNamed, len(e.Expired))],
		Record:       recordID,
	}
	for _, of := range e.Rejecting[:min(maxNamed, len(e.Rejecting))] {
		status.Rejecting = append(status.Rejecting, v1alpha1.RejectingServer{Server: of.Server, Reason: cmp.Or(of.Reason, "unknown")})
	}
	if e.Complete && e.Latency > 0 {
		status.Latency = Latency(e.Latency)
	}
	return status
}

// Latency formats a latency to a tenth of a millisecond.
func Latency(d time.Duration) string {
	return max(d.Round(100*time.Microsecond), 100*time.Microsecond).String()
}

func describe(e publish.Enforcement) (reason, message string) {
	switch {
	case e.Complete && len(e.Rejecting) > 0:
		return v1alpha1.ReasonRecordsRejected, fmt.Sprintf("in force on %d of %d validation servers; %s", e.Acknowledged, e.Servers, rejecting(e))
	case e.Complete && len(e.Expired) > 0:
		return v1alpha1.ReasonServersDisconnected, fmt.Sprintf(
			"in force on %d of %d validation servers; %s disconnected before that: they decide by the state that they had until they reconnect",
			e.Acknowledged, e.Servers, list(e.Expired))
	case e.Complete && e.Servers == 0:
		return v1alpha1.ReasonNoServers, "no validation server is connected; those that connect later start from the latest state"
	case e.Complete:
		return v1alpha1.ReasonAcknowledged, fmt.Sprintf("in force on %d of %d validation servers", e.Acknowledged, e.Servers)
	default:
		return v1alpha1.ReasonWaitingForServers, Waiting(e)
	}
}

// Waiting describes what an incomplete enforcement waits for.
func Waiting(e publish.Enforcement) string {
	switch {
	case len(e.Rejecting) > 0:
		return rejecting(e)
	case len(e.Waiting) > 0:
		return fmt.Sprintf("%d of %d validation servers have acknowledged; waiting for %s", e.Acknowledged, e.Servers, list(e.Waiting))
	case e.InStartupGrace:
		return "waiting for validation servers to connect to this manager"
	default:
		return "waiting for the change to be published"
	}
}

// rejecting names the servers that cannot use the record, and says why the first cannot.
func rejecting(e publish.Enforcement) string {
	names := make([]string, 0, len(e.Rejecting))
	for _, of := range e.Rejecting {
		names = append(names, of.Server)
	}
	return fmt.Sprintf("%s cannot use the record: %s", list(names), cmp.Or(e.Rejecting[0].Reason, "unknown"))
}

func list(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}
