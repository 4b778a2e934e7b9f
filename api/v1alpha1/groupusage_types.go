package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// GroupUsage is what was used of a Group: by day, by month, and the ledger of its quota. There is one for each Group that was
// used, with the same name. The manager writes it, and nobody else; it is deleted with its Group.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=groupusages,singular=groupusage,shortName=kwu,categories=keyward
// +kubebuilder:printcolumn:name="Month",type=string,JSONPath=`.status.months[0].month`
// +kubebuilder:printcolumn:name="Requests",type=integer,JSONPath=`.status.months[0].requests`
// +kubebuilder:printcolumn:name="Bytes",type=integer,JSONPath=`.status.months[0].bytes`
// +kubebuilder:printcolumn:name="Overage",type=integer,JSONPath=`.status.months[0].overageRequests`,priority=1
// +kubebuilder:printcolumn:name="Unconfirmed",type=integer,JSONPath=`.status.months[0].unconfirmedRequests`,priority=1
// +kubebuilder:printcolumn:name="Day",type=string,JSONPath=`.status.days[0].day`
// +kubebuilder:printcolumn:name="Of Day",type=integer,JSONPath=`.status.days[0].requests`
// +kubebuilder:printcolumn:name="Updated",type=date,JSONPath=`.status.updatedAt`
type GroupUsage struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status is what was used.
	//
	// +optional
	Status GroupUsageStatus `json:"status,omitzero"`
}

// GroupUsageList is a list of GroupUsages.
//
// +kubebuilder:object:root=true
type GroupUsageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GroupUsage `json:"items"`
}

// GroupUsageStatus is what was used of a Group.
type GroupUsageStatus struct {
	// groupUID is the metadata.uid of the Group that all of this is about: a Group that is created again with the same name
	// begins at 0.
	//
	// +optional
	GroupUID types.UID `json:"groupUID,omitempty"`

	// updatedAt is when the manager wrote this.
	//
	// +optional
	UpdatedAt *metav1.Time `json:"updatedAt,omitempty"`

	// months are the last 13 periods of quotas in which the Group was used, the latest first: calendar months (UTC), unless
	// limits.period of the Group says otherwise.
	//
	// +kubebuilder:validation:MaxItems=13
	// +listType=map
	// +listMapKey=month
	// +optional
	Months []MonthUsage `json:"months,omitempty"`

	// days are the last 62 days (UTC) on which the Group was used, the latest first. What a validation server reports late
	// counts for the day on which it is reported.
	//
	// +kubebuilder:validation:MaxItems=62
	// +listType=map
	// +listMapKey=day
	// +optional
	Days []DayUsage `json:"days,omitempty"`

	// refusedKeys are the keys of the Group whose requests were refused in the last 48 hours, by decision code: at most 50, and fewer where
	// there is no room for them, what was refused last first. As with refusals, a crash may lose the last minutes of it.
	//
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	// +optional
	RefusedKeys []RefusedKey `json:"refusedKeys,omitempty"`

	// ledgers of this period and of the last, from which a new leader continues. There are none with another usage store.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=map
	// +listMapKey=month
	// +optional
	Ledgers []MonthLedger `json:"ledgers,omitempty"`

	// log is how far the log of the Group has come: it shows where the end of the log is missing.
	//
	// +optional
	Log *LogHead `json:"log,omitempty"`
}

// MonthUsage is the usage of a Group in a period of its quotas, which is as a rule a calendar month (UTC).
type MonthUsage struct {
	// month such as 2026-11, or the first day of a period that does not begin with a month, such as 2026-11-15.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$`
	// +required
	Month string `json:"month,omitempty"`

	UsageCounts `json:",inline"`

	TrafficCounts `json:",inline"`
}

// DayUsage is the usage of a Group on a day (UTC).
type DayUsage struct {
	// day such as 2026-11-27.
	//
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	// +required
	Day string `json:"day,omitempty"`

	// requests is how many requests were allowed.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Requests *int64 `json:"requests,omitempty"`

	// bytes is how many bytes of response bodies were sent.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	TrafficCounts `json:",inline"`
}

// UsageCounts count what was used of the quotas of a period.
type UsageCounts struct {
	// requests is how many requests were allowed, including those below.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Requests *int64 `json:"requests,omitempty"`

	// bytes is how many bytes of response bodies were sent.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// overageRequests is how many requests were allowed beyond the quota, where overage is Meter.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	OverageRequests *int64 `json:"overageRequests,omitempty"`

	// overageBytes is how many bytes were beyond the quota, where overage is Meter.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	OverageBytes *int64 `json:"overageBytes,omitempty"`

	// unconfirmedRequests is how many requests were allowed without an allowance while the manager could not be reached,
	// where quotaFailurePolicy is Allow. They are in addition to the quota.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	UnconfirmedRequests *int64 `json:"unconfirmedRequests,omitempty"`
}

// TrafficCounts count what is for people to see. No quota depends on it, and a crash may lose the last minutes of it.
type TrafficCounts struct {
	// publicRequests is how many requests for public paths were allowed without a key. They are not among requests.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	PublicRequests *int64 `json:"publicRequests,omitempty"`

	// refusals counts requests with a key of the Group that were refused, by decision code; other adds up further codes.
	//
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Refusals map[string]int64 `json:"refusals,omitempty"`

	// origins are those with the most allowed requests, as scheme://host, the busiest first: at most 10 of a month, and 3 of
	// a day. Numbers are approximate. They are left out for earlier days where there is no room for them.
	//
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=origin
	// +optional
	Origins []OriginCount `json:"origins,omitempty"`
}

// OriginCount counts the requests from an origin.
type OriginCount struct {
	// origin is scheme://host.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Origin string `json:"origin,omitempty"`

	// requests that were allowed.
	//
	// +kubebuilder:validation:Minimum=0
	// +required
	Requests *int64 `json:"requests,omitempty"`
}

// RefusedKey counts requests with one key that were refused with one decision code.
type RefusedKey struct {
	// keyID is the status.keyID of the ApiKey.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	KeyID string `json:"keyID,omitempty"`

	// code is the decision code, such as origin_denied; other is one that the manager does not know.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Code string `json:"code,omitempty"`

	// apiKey is the ApiKey.
	//
	// +required
	APIKey KeyUsageOwner `json:"apiKey,omitzero"`

	// requests is how many were refused from firstAt to lastAt.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Requests int64 `json:"requests,omitempty"`

	// firstAt is when the first of them was refused, as a rule; what a validation server reports late may have been refused before. What is
	// refused more than 24 hours later begins another count.
	//
	// +required
	FirstAt metav1.Time `json:"firstAt,omitzero"`

	// lastAt is when the last of them was refused.
	//
	// +required
	LastAt metav1.Time `json:"lastAt,omitzero"`

	// origin is that of the latest of them that had one, as scheme://host: it is not known otherwise.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Origin string `json:"origin,omitempty"`
}

// MonthLedger has the accounts of validation servers in a period.
type MonthLedger struct {
	// month such as 2026-11, or the first day of a period that does not begin with a month, such as 2026-11-15.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$`
	// +required
	Month string `json:"month,omitempty"`

	// revision is the number of writes.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Revision *int64 `json:"revision,omitempty"`

	// entries are what validation servers have been allowed and have reported, at most 255; more servers require another
	// usage store. Accounts that were closed long ago are in *, and use whose accounts were lost is in ?.
	//
	// +kubebuilder:validation:MaxItems=257
	// +listType=map
	// +listMapKey=server
	// +optional
	Entries []LedgerEntry `json:"entries,omitempty"`
}
