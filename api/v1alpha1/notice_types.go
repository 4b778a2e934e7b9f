package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Days is a number of whole days, such as 90d.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=4
// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,2}d$`
type Days string

// EventPattern is a pattern for types of events, in which * is any run of characters, such as dev.keyward.notice.*.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[a-z0-9.*-]+$`
type EventPattern string

// Contact is whom receivers of the log of a Group are to notify. Keyward itself sends nothing to it.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.email)",message="a contact has either a url or an email; set one of them"
type Contact struct {
	// name of the contact, 1 to 63 lower-case letters, digits and dashes.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +required
	Name string `json:"name,omitempty"`

	// url is where the contact is notified, https only, of at most 256 characters and without a user. Whoever reads the Group or its
	// log sees it.
	//
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.matches('^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?([/?][!-~]*)?$')",message="write a URL that begins with https:// and has no user, such as https://hooks.acme.example/keyward"
	// +optional
	URL string `json:"url,omitempty"`

	// email is the address of the contact, of at most 254 characters.
	//
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=254
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9.!#$%&*+/=?^_{|}~-]{1,64}@([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?[.])+[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$')",message="write an address such as jane@acme.example"
	// +optional
	Email string `json:"email,omitempty"`

	// events are patterns for the types of events that carry the contact, 1 to 16; default: notices and leaks.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	Events []EventPattern `json:"events,omitempty"`
}

// QuotaLimit names a quota of a Group.
//
// +kubebuilder:validation:Enum=requestsPerMonth;bytesPerMonth
type QuotaLimit string

// The quotas.
const (
	QuotaRequests QuotaLimit = "requestsPerMonth"
	QuotaBytes    QuotaLimit = "bytesPerMonth"
)

// QuotaNotice is something about a quota that people were notified of.
type QuotaNotice struct {
	// period of the quota, such as 2026-11, or its first day, such as 2026-11-15.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$`
	// +required
	Period string `json:"period,omitempty"`

	// limit is the quota: requestsPerMonth or bytesPerMonth.
	//
	// +required
	Limit QuotaLimit `json:"limit,omitempty"`

	// quota is what the limit was, in requests or bytes.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Quota int64 `json:"quota,omitempty"`

	// noticedAt is when it was found.
	//
	// +required
	NoticedAt metav1.Time `json:"noticedAt,omitzero"`

	// used is how much of the quota was used then, in requests or bytes.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Used *int64 `json:"used,omitempty"`

	// percent of the quota of which at least as much was used: 75, 90, 100 or 120; absent in a forecast.
	//
	// +kubebuilder:validation:Minimum=75
	// +kubebuilder:validation:Maximum=120
	// +optional
	Percent *int32 `json:"percent,omitempty"`

	// usedUpAt is when the quota will be used up, if the rest of the period is like what was before; absent unless this is a forecast.
	//
	// +optional
	UsedUpAt *metav1.Time `json:"usedUpAt,omitempty"`
}
