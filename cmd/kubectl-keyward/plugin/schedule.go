package plugin

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// schedule returns what is shown of when a key rotates, and of what follows a rotation.
func (p *page) schedule(v *keyView) [][]cell {
	next := or(p.when(v.NextRotationAt, instant), "when asked for")
	if v.Window != nil {
		next += localTime(v.NextRotationAt, v.Window.TimeZone)
	}
	facts := [][]cell{texts("Next rotation", next)}
	if v.Window != nil {
		facts = append(facts, texts("Window", describeWindow(v.Window)))
	}
	if len(v.Restart) > 0 {
		facts = append(facts, texts("Restarts", strings.Join(v.Restart, ", ")))
	}
	if len(v.Notify) > 0 {
		facts = append(facts, texts("Notifies", strings.Join(v.Notify, ", ")))
	}
	return facts
}

// describeWindow says when scheduled rotations happen, in the words of the declaration.
func describeWindow(w *v1alpha1.RotationWindow) string {
	days := "every day"
	if len(w.Days) > 0 {
		days = strings.Join(names(w.Days), ", ")
	}
	hours := ""
	if w.From != "" || w.To != "" {
		hours = fmt.Sprintf(" from %s to %s", or(w.From, "00:00"), or(w.To, "24:00"))
	}
	return days + hours + ", " + or(w.TimeZone, "UTC")
}

// localTime returns an instant in a time zone other than UTC, after a semicolon; empty if there is none, or the name of the zone
// is not known.
func localTime(at *metav1.Time, zone string) string {
	location, err := time.LoadLocation(zone)
	if at.IsZero() || err != nil || location == time.UTC || location == time.Local {
		return ""
	}
	return "; " + at.In(location).Format("Mon 2006-01-02 15:04:05 -07:00")
}

// targetsOf returns kinds and names of the workloads that a key restarts, and of the objects that it notifies.
func targetsOf(secret *v1alpha1.SecretSpec) (restart, notify []string) {
	for _, w := range secret.Restart {
		restart = append(restart, string(w.Kind)+"/"+w.Name)
	}
	for _, n := range secret.Notify {
		notify = append(notify, string(n.Kind)+"/"+n.Name)
	}
	return restart, notify
}
