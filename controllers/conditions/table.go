package conditions

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Kinds of objects that have conditions.
const (
	ApiKey          = "ApiKey"
	Group           = "Group"
	DomainAllowlist = "DomainAllowlist"
	KeyRequest      = "KeyRequest"
	Installation    = "Installation"
)

// Type describes a type of conditions. What it means is said at its constant in api/v1alpha1, and what
// reasons mean at theirs; docs/conditions.md is made of both.
type Type struct {
	Name string
	// Kinds are the kinds of objects that have it.
	Kinds []string
	// Normal is the status while all is well.
	Normal metav1.ConditionStatus
	// OnlyWhileTrue reports whether the condition is absent, rather than false.
	OnlyWhileTrue bool
	// Once limits its events to when its status changes. Otherwise there is one for each new text, too.
	Once bool
	// EventReason is the reason of its events, where that is not the reason of the condition.
	EventReason string
	// Reasons that it may have.
	Reasons []Reason
}

// Reason is a reason of a type of conditions, or of events.
type Reason struct {
	Name string
	// Event is the type of the event that is sent when a condition gets this reason: Normal, Warning, or
	// none, which is empty.
	Event string
}

const (
	silent  = ""
	normal  = corev1.EventTypeNormal
	warning = corev1.EventTypeWarning
)

// requests are the reasons for which nothing more happens to a KeyRequest, or only if somebody acts, with the type of their event.
func requests(event string) []Reason {
	return reasons(event, v1alpha1.ReasonRequestRefused, v1alpha1.ReasonApprovalWithdrawn, v1alpha1.ReasonRequestExpired,
		v1alpha1.ReasonTooManyRequests, v1alpha1.ReasonNameTaken, v1alpha1.ReasonKeyDeleted, v1alpha1.ReasonKeyRefused)
}

// OnlyOfRequests reports whether only KeyRequests have the reason.
func OnlyOfRequests(reason string) bool {
	return slices.ContainsFunc(requests(silent), func(r Reason) bool { return r.Name == reason })
}

// problems are the reasons for which an object waits for somebody, with the type of their event: Ready,
// Accepted and Stalled have them, and only one of the three sends it.
func problems(event string) []Reason {
	return reasons(event,
		v1alpha1.ReasonGroupNotFound, v1alpha1.ReasonNamespaceNotAllowed, v1alpha1.ReasonProjectNotFound,
		v1alpha1.ReasonPermissionNotFound, v1alpha1.ReasonAddressesRequired, v1alpha1.ReasonContextNotAllowed,
		v1alpha1.ReasonLifetimeNotAllowed, v1alpha1.ReasonInvalidSpec,
		v1alpha1.ReasonSecretConflict, v1alpha1.ReasonSecretRefused, v1alpha1.ReasonSecretTemplateInvalid,
		v1alpha1.ReasonImportRefused, v1alpha1.ReasonRestoreRefused, v1alpha1.ReasonTextRevoked,
		v1alpha1.ReasonKeyLimitReached, v1alpha1.ReasonAllowlistsTooLarge, v1alpha1.ReasonRecordTooLarge)
}

// sinkProblems are the reasons for which a sink of an Installation is not ready. Nobody is sent events of Installations: metrics alert.
func sinkProblems() []Reason {
	return reasons(silent, v1alpha1.ReasonStarting, v1alpha1.ReasonAddressNotAllowed, v1alpha1.ReasonCertificateNotTrusted,
		v1alpha1.ReasonReceiverTimeout, v1alpha1.ReasonConnectionFailed, v1alpha1.ReasonReceiverRedirects, v1alpha1.ReasonReceiverUnavailable,
		v1alpha1.ReasonEventsRefused, v1alpha1.ReasonFileUnusable, v1alpha1.ReasonSecretUnusable)
}

// serverProblems are the reasons for which not every validation server is current.
func serverProblems() []Reason {
	return reasons(silent, v1alpha1.ReasonServersRejecting, v1alpha1.ReasonServersBehind, v1alpha1.ReasonServersGone, v1alpha1.ReasonServersLost)
}

func reasons(event string, names ...string) []Reason {
	all := make([]Reason, 0, len(names))
	for _, name := range names {
		all = append(all, Reason{name, event})
	}
	return all
}

var types = []Type{
	{
		Name: v1alpha1.ConditionReady, Kinds: []string{ApiKey, Group, DomainAllowlist, KeyRequest, Installation}, Normal: metav1.ConditionTrue,
		Reasons: slices.Concat(requests(silent), sinkProblems(), serverProblems(), reasons(silent, v1alpha1.ReasonDelivering, v1alpha1.ReasonSinksFailing), reasons(silent, v1alpha1.ReasonUndecided, v1alpha1.ReasonApproved, v1alpha1.ReasonReady, v1alpha1.ReasonPublishing, v1alpha1.ReasonRestartRefused,
			v1alpha1.ReasonNotifyRefused, v1alpha1.ReasonKeyLost, v1alpha1.ReasonSuspended, v1alpha1.ReasonRevoked, v1alpha1.ReasonExpired, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended, v1alpha1.ReasonDeleting),
			problems(silent)),
	},
	{
		Name: v1alpha1.ConditionReconciling, Kinds: []string{ApiKey, Group, KeyRequest}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Reasons: reasons(silent, v1alpha1.ReasonUndecided, v1alpha1.ReasonApproved, v1alpha1.ReasonPublishing, v1alpha1.ReasonKeyLost,
			v1alpha1.ReasonSuspended, v1alpha1.ReasonRevoked, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended, v1alpha1.ReasonDeleting),
	},
	{
		Name: v1alpha1.ConditionStalled, Kinds: []string{ApiKey, Group, DomainAllowlist, KeyRequest}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Reasons: append(requests(warning), problems(warning)...),
	},
	{
		Name: v1alpha1.ConditionAccepted, Kinds: []string{ApiKey}, Normal: metav1.ConditionTrue,
		Reasons: slices.Concat(
			// A revocation and an expiry are announced by the version that ends.
			reasons(silent, v1alpha1.ReasonAccepted, v1alpha1.ReasonPending, v1alpha1.ReasonPublishing,
				v1alpha1.ReasonRevoked, v1alpha1.ReasonExpired, v1alpha1.ReasonDeleting),
			reasons(normal, v1alpha1.ReasonSuspended, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended),
			problems(silent)),
	},
	{
		// Its event says how long it took, and so is not made of the condition alone.
		Name: v1alpha1.ConditionEnforced, Kinds: []string{ApiKey, Group}, Normal: metav1.ConditionTrue,
		Reasons: reasons(silent, v1alpha1.ReasonAcknowledged, v1alpha1.ReasonNoServers, v1alpha1.ReasonWaitingForServers,
			v1alpha1.ReasonServersDisconnected, v1alpha1.ReasonRecordsRejected),
	},
	{
		Name: v1alpha1.ConditionExpiringSoon, Kinds: []string{ApiKey}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Once: true, EventReason: v1alpha1.ConditionExpiringSoon, Reasons: reasons(warning, v1alpha1.ReasonExpiresAt),
	},
	{
		Name: v1alpha1.ConditionCutoverPending, Kinds: []string{ApiKey}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Once: true, EventReason: v1alpha1.ConditionCutoverPending, Reasons: reasons(warning, v1alpha1.ReasonStillUsed),
	},
	{
		Name: v1alpha1.ConditionSecretContested, Kinds: []string{ApiKey}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Once: true, EventReason: v1alpha1.ConditionSecretContested, Reasons: reasons(warning, v1alpha1.ReasonKeyLost),
	},
	{
		Name: v1alpha1.ConditionFollowUpPending, Kinds: []string{ApiKey}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Reasons: reasons(warning, v1alpha1.ReasonRestartRefused, v1alpha1.ReasonNotifyRefused),
	},
	{
		Name: v1alpha1.ConditionLeaked, Kinds: []string{ApiKey}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		EventReason: v1alpha1.ConditionLeaked, Reasons: reasons(warning, v1alpha1.ReasonLeakReported),
	},
	{
		Name: v1alpha1.ConditionUnused, Kinds: []string{ApiKey}, Normal: metav1.ConditionFalse, OnlyWhileTrue: true,
		Once: true, EventReason: v1alpha1.ConditionUnused, Reasons: reasons(warning, v1alpha1.ReasonNotUsed),
	},
	{
		Name: v1alpha1.ConditionTierResolved, Kinds: []string{Group}, Normal: metav1.ConditionTrue,
		Reasons: []Reason{{v1alpha1.ReasonTierFound, silent}, {v1alpha1.ReasonTierNotFound, warning}},
	},
	{
		Name: v1alpha1.ConditionContextSealed, Kinds: []string{Group}, Normal: metav1.ConditionTrue,
		Reasons: append(reasons(warning, v1alpha1.ReasonSecretUnusable, v1alpha1.ReasonNoSealingKey), Reason{v1alpha1.ReasonSealed, silent}),
	},
	{
		Name: v1alpha1.ConditionRoutesOverlap, Kinds: []string{Group}, Normal: metav1.ConditionFalse,
		Reasons: []Reason{{v1alpha1.ReasonNoOverlap, silent}, {v1alpha1.ReasonRoutesOverlap, warning}},
	},
	{
		Name: v1alpha1.ConditionQuotaLow, Kinds: []string{Group}, Normal: metav1.ConditionFalse,
		Once: true, EventReason: v1alpha1.ConditionQuotaLow, Reasons: reasons(warning, v1alpha1.ReasonQuotaUsed),
	},
	{
		Name: v1alpha1.ConditionQuotaExceeded, Kinds: []string{Group}, Normal: metav1.ConditionFalse,
		Once: true, EventReason: v1alpha1.ConditionQuotaExceeded, Reasons: reasons(warning, v1alpha1.ReasonQuotaUsed),
	},
	{
		Name: v1alpha1.ConditionSinksDelivering, Kinds: []string{Installation}, Normal: metav1.ConditionTrue,
		Reasons: reasons(silent, v1alpha1.ReasonDelivering, v1alpha1.ReasonNoSinks, v1alpha1.ReasonSinksFailing, v1alpha1.ReasonStarting),
	},
	{
		Name: v1alpha1.ConditionValidatorsCurrent, Kinds: []string{Installation}, Normal: metav1.ConditionTrue,
		Reasons: append(serverProblems(), reasons(silent, v1alpha1.ReasonServersCurrent, v1alpha1.ReasonNoServers)...),
	},
}

// Types are all types of conditions that Keyward sets.
func Types() []Type { return slices.Clone(types) }

// EventReasons are the reasons of events that tell of something other than a condition.
func EventReasons() []Reason {
	return slices.Concat(
		reasons(normal, v1alpha1.ReasonCreated, v1alpha1.ReasonDelivered, v1alpha1.ReasonRotated, v1alpha1.ReasonRestarted,
			v1alpha1.ReasonNotified, v1alpha1.ReasonRetired,
			v1alpha1.ReasonClaimed, v1alpha1.ReasonVersionDropped, v1alpha1.ReasonRevoked, v1alpha1.ReasonExpired, v1alpha1.ReasonEnforced),
		reasons(warning, v1alpha1.ReasonMinted, v1alpha1.ReasonRestored, v1alpha1.ReasonUnclaimed, v1alpha1.ReasonServersDisconnected,
			v1alpha1.ReasonLifetimeNotAllowed, v1alpha1.ReasonDefaultKeyRefused, v1alpha1.ReasonRoleConflict,
			v1alpha1.ReasonUsageDeleted))
}

// AdmissionReasons are the reasons for which only admission refuses an object; it has the reasons of conditions, too.
func AdmissionReasons() []string {
	return []string{v1alpha1.ReasonManageRequired, v1alpha1.ReasonDeletionPrevented, v1alpha1.ReasonApproveRequired}
}

func typeOf(name string) *Type {
	for i := range types {
		if types[i].Name == name {
			return &types[i]
		}
	}
	return nil
}

// Event is an event to send.
type Event struct {
	Type, Reason, Message string
}

// Warning reports whether the event is about something that somebody should check.
func (e Event) Warning() bool { return e.Type == warning }

// Events are what is to be sent when conditions have changed from before to after, in the order of the table.
func Events(before, after []metav1.Condition) []Event {
	var all []Event
	for i := range types {
		t := &types[i]
		is, was := meta.FindStatusCondition(after, t.Name), meta.FindStatusCondition(before, t.Name)
		if is == nil || is.Status == t.Normal {
			continue
		}
		reason := slices.IndexFunc(t.Reasons, func(r Reason) bool { return r.Name == is.Reason })
		if reason < 0 || t.Reasons[reason].Event == silent {
			continue
		}
		if was != nil && was.Status == is.Status && (t.Once || was.Reason == is.Reason && was.Message == is.Message) {
			continue
		}
		event := Event{Type: t.Reasons[reason].Event, Reason: is.Reason, Message: is.Message}
		if t.EventReason != "" {
			event.Reason = t.EventReason
		}
		all = append(all, event)
	}
	return all
}
