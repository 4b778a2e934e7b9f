package grouplog

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// maxRejecting is how many servers a log names in a day that cannot use records. A server chooses its name.
const maxRejecting = 16

// rejected adds an event for each server that cannot use the record of the object. A server that cannot use one usually cannot use many: it
// has one event in a day, whichever record is seen first.
func (e *evidence) rejected(enforcement *v1alpha1.Enforcement, conditions []metav1.Condition) {
	enforced := meta.FindStatusCondition(conditions, v1alpha1.ConditionEnforced)
	if enforcement == nil || enforced == nil || enforced.Status == metav1.ConditionTrue {
		return
	}
	at := enforced.LastTransitionTime
	for _, of := range enforcement.Rejecting {
		e.addToGroup(groupevent.TypeGroupRecordsRejected, e.group.UID, "rejecting/"+of.Server+"/"+at.UTC().Format(time.DateOnly), at.Time,
			groupevent.RecordsRejected{Server: of.Server, Kind: e.subject.Kind, Name: e.subject.Name})
	}
}

// keyLimit adds that an ApiKey waits because its Group has as many as it may have.
func (e *evidence) keyLimit(key *v1alpha1.ApiKey) {
	ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status == metav1.ConditionTrue || ready.Reason != v1alpha1.ReasonKeyLimitReached {
		return
	}
	at := ready.LastTransitionTime
	e.addToGroup(groupevent.TypeGroupLimitReached, string(key.UID), "limit/"+at.UTC().Format(time.RFC3339), at.Time,
		groupevent.LimitReached{Limit: groupevent.LimitOfKeys, Reason: ready.Reason, Key: key.Name})
}

// perDay counts events of a day that a log has or is to have, by their ids.
type perDay map[string]map[id]struct{}

// has reports whether the day has room for an event, or has it. It remembers it then.
func (p perDay) has(event *groupevent.Event, most int) bool {
	day, of := event.Time.Format(time.DateOnly), idOf(event.ID)
	if _, known := p[day][of]; known {
		return true
	}
	if len(p[day]) >= most {
		return false
	}
	if p[day] == nil {
		const days = 2
		for earlier := range p {
			if len(p) >= days && earlier < day {
				delete(p, earlier)
			}
		}
		p[day] = map[id]struct{}{}
	}
	p[day][of] = struct{}{}
	return true
}
