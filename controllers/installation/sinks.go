package installation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/sinks"
)

// maxFailure bounds what is said of a failure, in bytes.
const maxFailure = 512

// sinksOf returns the sinks by what they are sent and their names.
func sinksOf(before []v1alpha1.InstallationSink, facts []Sink, now time.Time) []v1alpha1.InstallationSink {
	var all []v1alpha1.InstallationSink
	for i := range facts {
		fact := &facts[i]
		sink := v1alpha1.InstallationSink{
			Name: fact.Name, Type: fact.Type, Sends: fact.Sends, LastDeliveredAt: instant(fact.LastDelivered), WaitingSince: instant(fact.WaitingSince),
		}
		earlier := slices.IndexFunc(before, func(s v1alpha1.InstallationSink) bool { return s.Name == sink.Name && s.Sends == sink.Sends })
		if earlier >= 0 {
			sink.Conditions = slices.Clone(before[earlier].Conditions)
		}
		ok, reason, message := judge(fact)
		set := conditions.Setter{Conditions: &sink.Conditions, Now: now}
		set.Set(v1alpha1.ConditionReady, ok, reason, message)
		all = append(all, sink)
	}
	slices.SortFunc(all, func(a, b v1alpha1.InstallationSink) int {
		return cmp.Or(strings.Compare(string(a.Sends), string(b.Sends)), strings.Compare(a.Name, b.Name))
	})
	return all
}

// judge returns whether a sink is ready, and what is to be done if it is not.
func judge(s *Sink) (ok bool, reason, message string) {
	positions, patience := "ConfigMaps", "an hour"
	if s.Sends == v1alpha1.SinkUsage {
		positions, patience = "BillingOutboxes", "72 hours"
	}
	switch {
	case !s.Started:
		return false, v1alpha1.ReasonStarting, "nothing is sent until the leader has loaded how far sinks are; if that lasts, look at its log: " +
			"it may not be allowed to read its " + positions
	case !s.FailingSince.IsZero():
		reason, hint := hintOf(s.Reason, patience)
		idle := ""
		if s.WaitingSince.IsZero() && s.Reason != sinks.ReasonSecret { // which is looked for without events
			idle = " (nothing waits, it is tried with the next event)"
		}
		return false, reason, fmt.Sprintf("%s; since %s it takes nothing%s: %s", clip(s.Message, maxFailure),
			s.FailingSince.UTC().Format(time.RFC3339), idle, hint)
	case s.Refusing > 0:
		reason, hint := hintOf(sinks.ReasonRefused, patience)
		return false, reason, fmt.Sprintf("the receiver takes events, and refuses one event of each of %d logs: %s", s.Refusing, hint)
	default:
		return true, v1alpha1.ReasonDelivering, "the receiver takes what it is sent"
	}
}

// hintOf returns the reason of a condition for a failure, and what fixes it. patience is for how long an event may be refused.
func hintOf(failure sinks.Reason, patience string) (reason, hint string) {
	switch failure {
	case sinks.ReasonAddress:
		return v1alpha1.ReasonAddressNotAllowed, "add the network of the receiver to allowAddresses of the sink if it is meant"
	case sinks.ReasonTLS:
		return v1alpha1.ReasonCertificateNotTrusted, "set tls.caFile of the sink to the authority of the receiver, or tls.serverName to the name in its certificate"
	case sinks.ReasonTimeout:
		return v1alpha1.ReasonReceiverTimeout, "make the receiver answer faster, or raise timeout of the sink"
	case sinks.ReasonRedirect:
		return v1alpha1.ReasonReceiverRedirects, "set url of the sink to where the redirect leads"
	case sinks.ReasonStatus:
		return v1alpha1.ReasonReceiverUnavailable, "look at the log of the receiver; after 401 or 403 renew what headersFile of the sink has, and after 404 correct its url"
	case sinks.ReasonRefused:
		return v1alpha1.ReasonEventsRefused, "look at the log of the receiver for what it does not accept; an event that is refused for " + patience + " is given up"
	case sinks.ReasonFile:
		return v1alpha1.ReasonFileUnusable, "mount the file that the sink names, readable for the manager, or make room where it is written"
	case sinks.ReasonSecret:
		return v1alpha1.ReasonSecretUnusable, "create the Secret with the entry that secretRef of the sink names, in the namespace of the manager"
	case sinks.ReasonConnection:
	}
	return v1alpha1.ReasonConnectionFailed, "make the receiver reachable from the manager: its DNS name, its port, and NetworkPolicies"
}

// summarizeSinks returns whether all sinks are ready, and how that is said.
func summarizeSinks(all []v1alpha1.InstallationSink) (ok bool, reason, message string) {
	if len(all) == 0 {
		return true, v1alpha1.ReasonNoSinks, "no sinks are configured"
	}
	var failing []string
	starting := true
	for i := range all {
		ready := all[i].Conditions[0]
		if ready.Status == metav1.ConditionTrue {
			continue
		}
		failing = append(failing, all[i].Name)
		starting = starting && ready.Reason == v1alpha1.ReasonStarting
	}
	switch {
	case len(failing) == 0:
		return true, v1alpha1.ReasonDelivering, fmt.Sprintf("sinks that take what they are sent: %d", len(all))
	case starting:
		return false, v1alpha1.ReasonStarting, fmt.Sprintf("%s: nothing is sent until the leader has loaded how far sinks are", list(failing, len(failing)))
	default:
		return false, v1alpha1.ReasonSinksFailing, fmt.Sprintf("sinks that do not take everything: %s; status.sinks says why, and what to do", list(failing, len(failing)))
	}
}
