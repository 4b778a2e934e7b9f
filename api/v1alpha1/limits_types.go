package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Overage is what becomes of requests beyond a monthly quota.
//
// +kubebuilder:validation:Enum=Block;Meter
type Overage string

const (
	// OverageBlock refuses them with 402 quota_exceeded.
	OverageBlock Overage = "Block"
	// OverageMeter lets them through and counts them by themselves.
	OverageMeter Overage = "Meter"
)

// QuotaFailurePolicy is what becomes of requests while it cannot be known whether a quota is
// used up, because the manager is away.
//
// +kubebuilder:validation:Enum=Allow;Deny
type QuotaFailurePolicy string

const (
	// QuotaFailureAllow lets them through, and counts them when the manager is back.
	QuotaFailureAllow QuotaFailurePolicy = "Allow"
	// QuotaFailureDeny answers 503 quota_unavailable with Retry-After.
	QuotaFailureDeny QuotaFailurePolicy = "Deny"
)

// Limits bound a Group. What is absent is as the Group's tier says, and without a tier
// unlimited.
type Limits struct {
	// keys is the most ApiKeys that the Group may have, 0 to 1000000.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Keys *int32 `json:"keys,omitempty"`

	// requestsPerMonth that are let through in a calendar month (UTC), 0 to 10^15.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000000
	// +optional
	RequestsPerMonth *int64 `json:"requestsPerMonth,omitempty"`

	// bytesPerMonth of response bodies in a calendar month (UTC), such as 100G or 500Gi; not
	// negative.
	//
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0'))",message="write a quantity such as 100G that is not negative"
	// +optional
	BytesPerMonth *resource.Quantity `json:"bytesPerMonth,omitempty"`

	// overage is what becomes of requests beyond a quota: Block (default) refuses them with
	// 402 quota_exceeded, Meter lets them through and counts them by themselves.
	//
	// +optional
	Overage Overage `json:"overage,omitempty"`

	// quotaFailurePolicy is what becomes of requests while the manager is away and this
	// validation server has used up its allowance: Allow (default) lets them through and
	// counts them later, Deny answers 503 quota_unavailable.
	//
	// +optional
	QuotaFailurePolicy QuotaFailurePolicy `json:"quotaFailurePolicy,omitempty"`

	RateLimit `json:",inline"`
}

// RateLimit bounds how fast requests are let through; beyond it they are answered 429
// rate_limited with Retry-After. Of N validation servers that are connected, each lets an Nth
// through.
type RateLimit struct {
	// requestsPerSecond that are let through, 1 to 1000000; default: unlimited.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	RequestsPerSecond *int32 `json:"requestsPerSecond,omitempty"`

	// burst is how many requests may come at once, 1 to 1000000; default: as many as in one
	// second.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Burst *int32 `json:"burst,omitempty"`
}

// GroupLimits are the limits of a Group as they are in force.
type GroupLimits struct {
	// tier that the limits are from, as it was when it was last in the catalogue.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Tier string `json:"tier,omitempty"`

	// auditLog is whether the tier includes an audit log.
	//
	// +optional
	AuditLog *bool `json:"auditLog,omitempty"`

	Limits `json:",inline"`
}

// GroupUsage is what was used in a calendar month (UTC), as far as validation servers have
// reported. It is written now and then.
type GroupUsage struct {
	// period is the month, such as 2026-11.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}$`
	// +required
	Period string `json:"period,omitempty"`

	// resetsAt is when the month ends.
	//
	// +required
	ResetsAt metav1.Time `json:"resetsAt,omitzero"`

	// requests that were let through, those below included.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Requests *int64 `json:"requests,omitempty"`

	// bytes of response bodies.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// overageRequests were let through beyond the quota, where overage is Meter.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	OverageRequests *int64 `json:"overageRequests,omitempty"`

	// overageBytes went beyond the quota, where overage is Meter.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	OverageBytes *int64 `json:"overageBytes,omitempty"`

	// unconfirmedRequests were let through without an allowance while the manager was away,
	// where quotaFailurePolicy is Allow. They come on top of the quota.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	UnconfirmedRequests *int64 `json:"unconfirmedRequests,omitempty"`

	// revision counts the writes.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Revision *int64 `json:"revision,omitempty"`

	// ledger is what validation servers have been allowed and have reported, by which a new
	// leader goes on. At most 256 of them; others need another usage store.
	//
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=server
	// +optional
	Ledger []LedgerEntry `json:"ledger,omitempty"`
}

// LedgerEntry is the account of one validation server, from its start to its end, in a month.
type LedgerEntry struct {
	// server identifies the account: the instance, and which of its lives.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=280
	// +required
	Server string `json:"server,omitempty"`

	// leased is how many requests the server may let through in all, as far as they need an
	// allowance.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Leased *int64 `json:"leased,omitempty"`

	// sequence of the latest allowance.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Sequence *int64 `json:"sequence,omitempty"`

	// spent is how much of leased it has reported as used.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Spent *int64 `json:"spent,omitempty"`

	// requests that it has reported.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Requests *int64 `json:"requests,omitempty"`

	// bytes that it has reported.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// unconfirmedRequests that it has reported.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	UnconfirmedRequests *int64 `json:"unconfirmedRequests,omitempty"`

	// closed is whether the server has ended, and its account with it.
	//
	// +optional
	Closed *bool `json:"closed,omitempty"`
}
