package groupevent

import (
	"slices"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// The types of events.
const (
	TypeKeyCreated      Type = "dev.keyward.key.created.v1"
	TypeKeyEdited       Type = "dev.keyward.key.edited.v1"
	TypeKeyMinted       Type = "dev.keyward.key.minted.v1"
	TypeKeyImported     Type = "dev.keyward.key.imported.v1"
	TypeKeyDelivered    Type = "dev.keyward.key.delivered.v1"
	TypeKeyClaimed      Type = "dev.keyward.key.claimed.v1"
	TypeKeyRotated      Type = "dev.keyward.key.rotated.v1"
	TypeKeyOverlapEnded Type = "dev.keyward.key.overlap-ended.v1"
	TypeKeySuspended    Type = "dev.keyward.key.suspended.v1"
	TypeKeyResumed      Type = "dev.keyward.key.resumed.v1"
	TypeKeyRevoked      Type = "dev.keyward.key.revoked.v1"
	TypeKeyExpired      Type = "dev.keyward.key.expired.v1"
	TypeKeyLeaked       Type = "dev.keyward.key.leaked.v1"
	TypeKeyDeleted      Type = "dev.keyward.key.deleted.v1"

	TypeGroupCreated      Type = "dev.keyward.group.created.v1"
	TypeGroupEdited       Type = "dev.keyward.group.edited.v1"
	TypeGroupStateChanged Type = "dev.keyward.group.state-changed.v1"
	TypeGroupTierChanged  Type = "dev.keyward.group.tier-changed.v1"
	TypeGroupLimitReached Type = "dev.keyward.group.limit-reached.v1"
	TypeGroupDeleted      Type = "dev.keyward.group.deleted.v1"

	TypeGroupServerAbsent    Type = "dev.keyward.group.server-absent.v1"
	TypeGroupServerBack      Type = "dev.keyward.group.server-back.v1"
	TypeGroupRecordsRejected Type = "dev.keyward.group.records-rejected.v1"
	TypeGroupRequestsRefused Type = "dev.keyward.group.requests-refused.v1"

	TypeAllowlistCreated Type = "dev.keyward.allowlist.created.v1"
	TypeAllowlistEdited  Type = "dev.keyward.allowlist.edited.v1"
	TypeAllowlistDeleted Type = "dev.keyward.allowlist.deleted.v1"

	TypeRequestCreated   Type = "dev.keyward.request.created.v1"
	TypeRequestApproved  Type = "dev.keyward.request.approved.v1"
	TypeRequestRefused   Type = "dev.keyward.request.refused.v1"
	TypeRequestWithdrawn Type = "dev.keyward.request.withdrawn.v1"
	TypeRequestEnded     Type = "dev.keyward.request.ended.v1"

	TypeKeyExpiring    Type = "dev.keyward.notice.key-expiring.v1"
	TypeKeyUnclaimed   Type = "dev.keyward.notice.key-unclaimed.v1"
	TypeCutoverPending Type = "dev.keyward.notice.cutover-pending.v1"
	TypeKeyUnused      Type = "dev.keyward.notice.key-unused.v1"
	TypeKeyQuota       Type = "dev.keyward.notice.key-quota-reached.v1"
	TypeQuotaReached   Type = "dev.keyward.notice.quota-reached.v1"
	TypeQuotaForecast  Type = "dev.keyward.notice.quota-forecast.v1"
	TypeUsageUnusual   Type = "dev.keyward.notice.usage-unusual.v1"
)

// Values of activity_id in class 3004 of OCSF, and of severity_id.
const (
	activityCreate     = 1
	activityRead       = 2
	activityUpdate     = 3
	activityDelete     = 4
	activityActivate   = 10
	activityDeactivate = 11
	activitySuspend    = 12
	activityResume     = 13
	activityOther      = 99

	informational = 1
	low           = 2
	medium        = 3
	high          = 4
)

// Entry describes a type of events.
type Entry struct {
	Type Type
	// Kind is the kind of the subject.
	Kind string
	// Activity and Severity are fixed for the type: hashes cover them.
	Activity, Severity int
	// Meaning is what has happened, and Time the instant that the event has.
	Meaning, Time string
	// Example is the data of an example, and By its actor.
	Example any
	By      Actor
}

var (
	person   = Actor{User: "jane@acme.example", Groups: []string{"platform", "system:authenticated"}, Via: ViaKubectl}
	pipeline = Actor{User: "system:serviceaccount:argocd:application-controller", Groups: []string{"system:serviceaccounts"}, Via: ViaGitOps}
	keyward  = Actor{Via: ViaKeyward}
	decider  = Actor{User: "olga@acme.example", Via: ViaConsole}
)

const (
	kindKey       = "ApiKey"
	kindGroup     = "Group"
	kindAllowlist = "DomainAllowlist"
	kindRequest   = "KeyRequest"

	ofChange   = "of the change"
	ofDecision = "of the decision"
)

var catalogue = []Entry{
	{TypeKeyCreated, kindKey, activityCreate, informational, "an ApiKey was created", "of its creation",
		KeyCreated{Projects: []string{"marketing"}, Permissions: []string{"read"}}, pipeline},
	{TypeKeyEdited, kindKey, activityUpdate, informational, "the spec of an ApiKey was changed", ofChange,
		Edited{Generation: 3, Changes: []Change{{Field: "spec.permissions", After: "checkout"}}}, person},
	{TypeKeyMinted, kindKey, activityUpdate, informational, "a version was minted, or restored from a Secret, and is about to be published",
		"of the minting", KeyVersion{Version: 2, Preview: "vctrl_…aB7Q", Cause: "Scheduled", ExpiresAt: "2027-02-25T08:00:00Z"}, keyward},
	{TypeKeyImported, kindKey, activityUpdate, informational, "an existing key became the first version", "of the import",
		KeyVersion{Version: 1, Preview: "imported", Cause: "Imported"}, keyward},
	{TypeKeyDelivered, kindKey, activityActivate, informational, "every validation server accepts the version, and its Secret has it",
		"of the delivery", KeyVersion{Version: 2}, keyward},
	{TypeKeyClaimed, kindKey, activityRead, informational,
		"the text of a key that is revealed once was claimed, or its hour was over; the actor is who claimed it, where that is known",
		"of the claim", KeyVersion{Version: 1}, person},
	{TypeKeyRotated, kindKey, activityUpdate, informational,
		"a version replaces an earlier one, whose overlap begins; the actor is who asked for it", "at which the overlap begins",
		KeyRotated{Version: 2, Replaced: 1, Cause: "Requested", RetiresAt: "2026-11-28T08:00:00Z"}, person},
	{TypeKeyOverlapEnded, kindKey, activityDeactivate, informational,
		"the overlap of an earlier version has ended; the actor is who ended it before its time, where somebody did", "of the end",
		KeyOverlapEnded{Version: 1, Lasted: "24h0m0s", How: OverlapOnTime}, keyward},
	{TypeKeySuspended, kindKey, activitySuspend, medium, "an ApiKey was suspended", ofChange,
		Edited{Generation: 4, Changes: []Change{{Field: "spec.suspended", Before: "false", After: "true"}}}, person},
	{TypeKeyResumed, kindKey, activityResume, low, "a suspended ApiKey was resumed", ofChange,
		Edited{Generation: 5, Changes: []Change{{Field: "spec.suspended", Before: "true", After: "false"}}}, person},
	{TypeKeyRevoked, kindKey, activityDeactivate, medium, "an ApiKey was revoked for good", ofChange,
		Edited{Generation: 6, Changes: []Change{{Field: "spec.revoked", Before: "false", After: "true"}}}, person},
	{TypeKeyExpired, kindKey, activityDeactivate, low, "a version has expired", "of the expiry", KeyVersion{Version: 2}, keyward},
	{TypeKeyLeaked, kindKey, activityUpdate, high, "the text of a version was reported as found where others can read it", "of the report",
		KeyLeaked{Version: 2, Source: "github", Response: "Rotate"}, keyward},
	{TypeKeyDeleted, kindKey, activityDelete, medium, "the deletion of an ApiKey began, which revokes it", "of the request",
		Deleted{State: "Active"}, person},

	{TypeGroupCreated, kindGroup, activityCreate, informational, "a Group was created", "of its creation",
		Created{Changes: []Change{{Field: "spec.tier", After: "Pro"}, {Field: "spec.state", After: "Active"}}}, pipeline},
	{TypeGroupEdited, kindGroup, activityUpdate, informational, "the spec of a Group was changed", ofChange,
		Edited{Generation: 2, Changes: []Change{{Field: "spec.keyPolicy.maxLifetime", Before: "90d", After: "30d"}}}, pipeline},
	{TypeGroupStateChanged, kindGroup, activityUpdate, medium, "a Group was frozen, suspended or activated", ofChange,
		Edited{Generation: 3, Changes: []Change{{Field: "spec.state", Before: "Active", After: "Frozen"}}}, person},
	{TypeGroupTierChanged, kindGroup, activityUpdate, low, "a Group has another tier", ofChange,
		Edited{Generation: 4, Changes: []Change{{Field: "spec.tier", Before: "Pro", After: "Business"}}}, person},
	{TypeGroupLimitReached, kindGroup, activityUpdate, low,
		"a quota of the Group is nearly or wholly used up, or an ApiKey waits because the Group has as many as it may have",
		"at which that began", LimitReached{Limit: v1alpha1.ConditionQuotaExceeded, Reason: v1alpha1.ReasonQuotaUsed}, keyward},
	{TypeGroupDeleted, kindGroup, activityDelete, medium, "a Group was deleted, with which its log ends", "of the deletion, as it was seen",
		Deleted{State: "Active"}, person},
	{TypeGroupServerAbsent, kindGroup, activityDeactivate, medium,
		"a validation server of the Group was disconnected, and has not come back for 5 minutes; it goes on deciding by what it had",
		"at which it was disconnected", ServerChange{Server: "edge-1@0b6a61c1f2d3"}, keyward},
	{TypeGroupServerBack, kindGroup, activityActivate, informational, "a validation server that was absent is connected again",
		"at which it connected", ServerChange{Server: "edge-1@0b6a61c1f2d3", Since: "2026-11-27T07:12:04Z"}, keyward},
	{TypeGroupRecordsRejected, kindGroup, activityUpdate, medium,
		"a validation server cannot use records of the Group, and refuses the requests that they allow; once a day for each server, with the first record",
		"at which the record was no longer in force everywhere",
		RecordsRejected{Server: "edge-1@0b6a61c1f2d3", Kind: kindKey, Name: "acme-web"}, keyward},
	{TypeGroupRequestsRefused, kindGroup, activityUpdate, low,
		"at least 100 requests with keys of the Group were refused since the event before; at most once an hour for each day",
		"at which they were counted",
		RequestsRefused{Day: "2026-11-27", Requests: 260, Codes: []RefusedCode{
			{Code: "origin_denied", Requests: 250, OfDay: 1250}, {Code: "key_expired", Requests: 10, OfDay: 10},
		}, Origins: []RefusedOrigin{{Origin: "https://shop.example", Requests: 240}}}, keyward},

	{TypeAllowlistCreated, kindAllowlist, activityCreate, low, "a DomainAllowlist was created", "of its creation",
		Created{Changes: []Change{{Field: "spec.domains", After: "acme.example, *.acme.example"}}}, pipeline},
	{TypeAllowlistEdited, kindAllowlist, activityUpdate, low, "the spec of a DomainAllowlist was changed", ofChange,
		Edited{Generation: 2, Changes: []Change{{Field: "spec.domains", Before: "old.acme.example", After: "shop.acme.example"}}}, person},
	{TypeAllowlistDeleted, kindAllowlist, activityDelete, low, "a DomainAllowlist was deleted", "of the deletion, as it was seen",
		Deleted{}, person},

	{TypeRequestCreated, kindRequest, activityCreate, informational, "a key of the Group was requested; the actor is who asks", "at which it was requested",
		RequestCreated{Projects: []string{"marketing"}, Permissions: []string{"read"}, UseCase: "The shop shows scenes", Lifetime: "90d"},
		Actor{User: "joe@shop.example", Via: ViaKubectl}},
	{TypeRequestApproved, kindRequest, activityActivate, informational,
		"a request was approved, so that its key is created; the actor is who decided, which is Keyward's manager where the Group decides by its policy",
		ofDecision, RequestDecided{Reason: "The shop is a customer"}, decider},
	{TypeRequestRefused, kindRequest, activityDeactivate, informational, "a request was refused; the actor is who decided", ofDecision,
		RequestDecided{Reason: "Use the key that you have"}, decider},
	{TypeRequestWithdrawn, kindRequest, activityDeactivate, medium,
		"the approval of a request was withdrawn, which revokes its key; the actor is who decided", ofDecision,
		RequestDecided{Reason: "The contract has ended"}, decider},
	{TypeRequestEnded, kindRequest, activityDelete, informational, "a request ended that nobody had decided about", "of the end, or at which it was found",
		RequestEnded{How: RequestExpired}, keyward},

	{TypeKeyExpiring, kindKey, activityOther, medium, "a key ends in 14, 7 or 1 days, and does not rotate before; only what is in the second half of its lifetime is due",
		"so many days before the end", KeyExpiring{Version: 2, Days: 7, ExpiresAt: "2026-12-04T08:00:00Z"}, keyward},
	{TypeKeyUnclaimed, kindKey, activityOther, medium,
		"the text of a key that is revealed once was not claimed in half of its hour", "of that half hour's end",
		KeyUnclaimed{Version: 1, Until: "2026-11-27T08:30:00Z"}, keyward},
	{TypeCutoverPending, kindKey, activityOther, high, "a version is still used in the last quarter of its overlap",
		"at which that quarter begins", CutoverPending{Version: 1, Until: "2026-11-27T14:00:00Z"}, keyward},
	{TypeKeyUnused, kindKey, activityOther, low, "a key was not used for as long as `keyPolicy.warnUnusedFor` says",
		"at which the condition Unused became true", KeyUnused{Since: "2026-08-29T08:00:00Z"}, keyward},
	{TypeKeyQuota, kindKey, activityOther, medium, "75, 90, 100 or 120 % of the quota of a key are used; of several at once, the highest",
		"at which it was found", KeyQuotaReached{Period: "2026-11", Quota: 10000, Used: 9004, Percent: 90}, keyward},
	{TypeQuotaReached, kindGroup, activityOther, medium, "75, 90, 100 or 120 % of a quota are used; of several at once, the highest",
		"at which it was found", QuotaReached{Period: "2026-11", Limit: "requestsPerMonth", Quota: 1000000, Used: 900112, Percent: 90}, keyward},
	{TypeQuotaForecast, kindGroup, activityOther, low,
		"if the rest of the period is like what was before, a quota of which less than 75 % are used will not last", "at which it was found",
		QuotaForecast{Period: "2026-11", Limit: "requestsPerMonth", Quota: 1000000, Used: 300112, UsedUpAt: "2026-11-27T12:00:00Z"}, keyward},
	{TypeUsageUnusual, kindGroup, activityOther, medium,
		"more requests were allowed on a day than 4 times the median of the 14 days before, and at least 1,000", "of the beginning of the day (UTC)",
		UsageUnusual{Day: "2026-11-27", Requests: 81244, Median: 18020}, keyward},
}

// Catalogue returns a description of every type.
func Catalogue() []Entry { return slices.Clone(catalogue) }

// Find returns the description of a type. It reports whether there is one.
func Find(kind Type) (Entry, bool) {
	i := slices.IndexFunc(catalogue, func(entry Entry) bool { return entry.Type == kind })
	if i < 0 {
		return Entry{}, false
	}
	return catalogue[i], true
}
