package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Overage determines what happens to requests beyond a monthly quota.
//
// +kubebuilder:validation:Enum=Block;Meter
type Overage string

const (
	// OverageBlock refuses them with 402 quota_exceeded.
	OverageBlock Overage = "Block"
	// OverageMeter allows them and counts them separately.
	OverageMeter Overage = "Meter"
)

// QuotaFailurePolicy determines what happens to requests while it is unknown whether a quota is
// used up, because the manager cannot be reached.
//
// +kubebuilder:validation:Enum=Allow;Deny
type QuotaFailurePolicy string

const (
	// QuotaFailureAllow allows them, and counts them when the manager can be reached again.
	QuotaFailureAllow QuotaFailurePolicy = "Allow"
	// QuotaFailureDeny refuses them with 503 quota_unavailable and Retry-After.
	QuotaFailureDeny QuotaFailurePolicy = "Deny"
)

// Limits are the limits of a Group. The Group's tier determines those that are absent; without a tier they are
// unlimited.
type Limits struct {
	// keys is the greatest number of ApiKeys that the Group may have, 0 to 1000000.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Keys *int32 `json:"keys,omitempty"`

	// requestsPerMonth is how many requests are allowed in a period, which is a calendar month (UTC) unless period says
	// otherwise; 0 to 10^15.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000000
	// +optional
	RequestsPerMonth *int64 `json:"requestsPerMonth,omitempty"`

	// bytesPerMonth is how many bytes of response bodies are allowed in a period, such as 100G or
	// 500Gi; a whole number of at least 1 and less than 1E.
	//
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).isInteger() && !quantity(string(self)).isLessThan(quantity('1')) && quantity(string(self)).isLessThan(quantity('1E'))",message="write a whole number of bytes of at least 1 and less than 1E, such as 100G"
	// +optional
	BytesPerMonth *resource.Quantity `json:"bytesPerMonth,omitempty"`

	// overage determines what happens to requests beyond a quota: Block (default) refuses them with
	// 402 quota_exceeded, Meter allows them and counts them separately.
	//
	// +optional
	Overage Overage `json:"overage,omitempty"`

	// quotaFailurePolicy determines what happens to requests while the manager cannot be reached and the
	// validation server has used up its allowance: Allow (default) allows them and
	// counts them later, Deny refuses them with 503 quota_unavailable.
	//
	// +optional
	QuotaFailurePolicy QuotaFailurePolicy `json:"quotaFailurePolicy,omitempty"`

	// period is when the quotas are reset; default: with each calendar month (UTC).
	//
	// +optional
	Period *QuotaPeriod `json:"period,omitempty"`

	RateLimit `json:",inline"`
}

// QuotaPeriod is the time that a quota is for: a month that begins on a day of its own, as the invoice does.
type QuotaPeriod struct {
	// anchorDay is the day of the month (UTC) on which a period begins and the one before ends, 1 to 31. A month without that
	// day has its last day instead. A change takes effect when the running period ends. The next one ends on the next
	// anchorDay: it may be shorter, and has the whole quota.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31
	// +required
	AnchorDay *int32 `json:"anchorDay,omitempty"`
}

// Date is a day (UTC), such as 2026-11-15.
//
// +kubebuilder:validation:MinLength=10
// +kubebuilder:validation:MaxLength=10
// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
type Date string

// RateLimit limits the rate of requests; requests beyond it are refused with 429
// rate_limited and Retry-After. Of N connected validation servers, each allows an Nth of the
// rate.
type RateLimit struct {
	// requestsPerSecond is how many requests are allowed per second in the long run, 1 to 1000000; default: unlimited.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	RequestsPerSecond *int32 `json:"requestsPerSecond,omitempty"`

	// burst is how many requests may arrive at the same time, 1 to 1000000; default: as many as in one
	// second.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Burst *int32 `json:"burst,omitempty"`
}

// KeyLimits are the limits of one ApiKey, in addition to those of its Group.
type KeyLimits struct {
	// requestsPerMonth is how many requests are allowed with the key in a period of its Group, which is a calendar month (UTC) unless
	// the Group's limits.period says otherwise; 0 to 10^15; default: as many as the Group has left. Further requests are refused
	// with 402 key_quota_exceeded. Each request counts as many as it costs, and for the Group, too. At most 200 ApiKeys of a
	// Group have it.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000000
	// +optional
	RequestsPerMonth *int64 `json:"requestsPerMonth,omitempty"`

	RateLimit `json:",inline"`
}

// MaxKeyQuotas is how many ApiKeys of a Group may have a quota of their own.
const MaxKeyQuotas = 200

// GroupLimits are the limits of a Group that are in force.
type GroupLimits struct {
	// tier is the one that the limits are from, as it was when it was last in the catalogue.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Tier string `json:"tier,omitempty"`

	// auditLog reports whether the tier includes an audit log.
	//
	// +optional
	AuditLog *bool `json:"auditLog,omitempty"`

	// periodStarts are the days on which the last period, the running one and the next begin, where the anchorDay was changed;
	// at most 3. Later periods begin on the anchorDay.
	//
	// +kubebuilder:validation:MaxItems=3
	// +listType=atomic
	// +optional
	PeriodStarts []Date `json:"periodStarts,omitempty"`

	Limits `json:",inline"`
}

// UsageTotals is the usage of a Group in a period, as a rule a calendar month (UTC), that validation servers have
// reported. It is updated at most once a minute. GroupUsage has more, and sooner.
type UsageTotals struct {
	// period is the month, such as 2026-11, or the first day of a period that does not begin with a month, such as
	// 2026-11-15.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$`
	// +required
	Period string `json:"period,omitempty"`

	// resetsAt is when the period ends.
	//
	// +required
	ResetsAt metav1.Time `json:"resetsAt,omitzero"`

	UsageCounts `json:",inline"`
}

// LedgerEntry is the account of one incarnation of a validation server, from its start to its end, in a period.
type LedgerEntry struct {
	// server identifies the server: the instance, and its incarnation (boot ID).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=280
	// +required
	Server string `json:"server,omitempty"`

	// leased is how many requests the server may allow in total, counting those that need an
	// allowance.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Leased *int64 `json:"leased,omitempty"`

	// sequence is the number of the latest allowance.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Sequence *int64 `json:"sequence,omitempty"`

	// spent is how much of leased it has reported as used.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Spent *int64 `json:"spent,omitempty"`

	// requests is how many requests it has reported.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Requests *int64 `json:"requests,omitempty"`

	// bytes is how many bytes it has reported.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// unconfirmedRequests is how many unconfirmed requests it has reported.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	UnconfirmedRequests *int64 `json:"unconfirmedRequests,omitempty"`

	// closed reports whether the server has ended, so that its counters no longer change.
	//
	// +optional
	Closed *bool `json:"closed,omitempty"`
}

// KeyQuota is what is used of the quota of a key in a period.
type KeyQuota struct {
	// period is the month, such as 2026-11, or its first day, such as 2026-11-15.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$`
	// +required
	Period string `json:"period,omitempty"`

	// resetsAt is when the period ends.
	//
	// +required
	ResetsAt metav1.Time `json:"resetsAt,omitzero"`

	// limit is the quota: how many requests are allowed in the period.
	//
	// +kubebuilder:validation:Minimum=0
	// +required
	Limit *int64 `json:"limit,omitempty"`

	// used is how many of them are used, as far as validation servers have reported, each as many as it costs.
	//
	// +kubebuilder:validation:Minimum=0
	// +required
	Used *int64 `json:"used,omitempty"`

	// notice is the last one of this period and limit: that 75, 90, 100 or 120 % are used; absent while less is.
	//
	// +optional
	Notice *KeyQuotaNotice `json:"notice,omitempty"`
}

// KeyQuotaNotice is how much of the quota of a key people were notified of.
type KeyQuotaNotice struct {
	// percent of the limit of which at least as much was used: 75, 90, 100 or 120.
	//
	// +kubebuilder:validation:Minimum=75
	// +kubebuilder:validation:Maximum=120
	// +required
	Percent int32 `json:"percent,omitempty"`

	// used is how many requests of the limit were used then.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Used int64 `json:"used,omitempty"`

	// noticedAt is when it was found.
	//
	// +required
	NoticedAt metav1.Time `json:"noticedAt,omitzero"`
}
