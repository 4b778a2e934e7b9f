package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// BillingOutbox is what billing engines do not have yet of the use of a Group, and what they were sent last. It is in the namespace of the
// manager, named by the metadata.uid of the Group, and outlives the Group until everything is sent. The manager writes it, and nobody else.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=billingoutboxes,singular=billingoutbox,shortName=kwb,categories=keyward
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.group`
// +kubebuilder:printcolumn:name="Next",type=integer,JSONPath=`.spec.next`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BillingOutbox struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what was closed and sent.
	//
	// +required
	Spec BillingOutboxSpec `json:"spec,omitzero"`
}

// BillingOutboxList is a list of BillingOutboxes.
//
// +kubebuilder:object:root=true
type BillingOutboxList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BillingOutbox `json:"items"`
}

// BillingOutboxSpec is what was closed and sent of a Group.
//
// +kubebuilder:validation:XValidation:rule="self.groupUID == oldSelf.groupUID",message="an outbox is that of one Group"
type BillingOutboxSpec struct {
	// group is namespace/name of the Group.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +required
	Group string `json:"group,omitempty"`

	// groupUID is the metadata.uid of the Group.
	//
	// +required
	GroupUID types.UID `json:"groupUID,omitempty"`

	// next is the number of the next event; the first is 1.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Next int64 `json:"next,omitempty"`

	// final reports whether the Group was deleted and its last window is closed.
	//
	// +optional
	Final *bool `json:"final,omitempty"`

	// billing is the customer and the subscription of the Group when it was last seen.
	//
	// +optional
	Billing BillingReference `json:"billing,omitzero"`

	// periods are the latest periods of the quota, ascending, and what was closed of them.
	//
	// +kubebuilder:validation:MaxItems=3
	// +listType=map
	// +listMapKey=period
	// +optional
	Periods []BillingPeriod `json:"periods,omitempty"`

	// windows wait until all receivers have them, in order, at most 128.
	//
	// +kubebuilder:validation:MaxItems=128
	// +listType=map
	// +listMapKey=first
	// +optional
	Windows []BillingWindow `json:"windows,omitempty"`

	// receivers are how far each receiver is, at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Receivers []BillingReceiver `json:"receivers,omitempty"`
}

// BillingReference is who pays for a Group, in the words of a billing engine.
type BillingReference struct {
	// customer is the id of the customer in the billing engine, such as cus_NffrFeUfNV2Hib: at most 128 printable ASCII characters
	// without spaces.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[!-~]+$`
	// +optional
	Customer string `json:"customer,omitempty"`

	// subscription is the id of the subscription, for engines that bill by subscription: at most 128 printable ASCII characters
	// without spaces.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[!-~]+$`
	// +optional
	Subscription string `json:"subscription,omitempty"`
}

// BillingAmounts are an amount of each meter. Amounts that are 0 are left out.
type BillingAmounts struct {
	// totalRequests is how many requests were allowed, including those below.
	//
	// +optional
	TotalRequests int64 `json:"totalRequests,omitempty"`

	// overageRequests is how many were beyond the quota. It can become less.
	//
	// +optional
	OverageRequests int64 `json:"overageRequests,omitempty"`

	// unconfirmedRequests is how many were allowed while the manager could not be reached.
	//
	// +optional
	UnconfirmedRequests int64 `json:"unconfirmedRequests,omitempty"`

	// totalBytes is how many bytes of response bodies were sent.
	//
	// +optional
	TotalBytes int64 `json:"totalBytes,omitempty"`

	// overageBytes is how many bytes were beyond the quota. It can become less.
	//
	// +optional
	OverageBytes int64 `json:"overageBytes,omitempty"`
}

// BillingPeriod is what was closed of a period.
type BillingPeriod struct {
	// period such as 2026-11, or its first day, such as 2026-11-15.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +required
	Period string `json:"period,omitempty"`

	// through is when its last window ended; its begin, if there is none.
	//
	// +required
	Through metav1.Time `json:"through,omitzero"`

	// instant of its last window.
	//
	// +optional
	Instant *metav1.Time `json:"instant,omitempty"`

	// closed is the cumulative value of its last window.
	//
	// +optional
	Closed BillingAmounts `json:"closed,omitzero"`
}

// BillingWindow is a window that was closed. It does not change any more.
type BillingWindow struct {
	// first is the number of its first event. It has one for each meter whose delta is not 0.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	First int64 `json:"first,omitempty"`

	// period that it is of.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=10
	// +required
	Period string `json:"period,omitempty"`

	// start of the window, which is in its id.
	//
	// +required
	Start metav1.Time `json:"start,omitzero"`

	// end of the window.
	//
	// +required
	End metav1.Time `json:"end,omitzero"`

	// instant of its events, which is in the period.
	//
	// +required
	Instant metav1.Time `json:"instant,omitzero"`

	// billing is who pays.
	//
	// +optional
	Billing BillingReference `json:"billing,omitzero"`

	// cumulative is what was used in the period until the window was closed.
	//
	// +optional
	Cumulative BillingAmounts `json:"cumulative,omitzero"`

	// delta is cumulative, less that of the window before.
	//
	// +optional
	Delta BillingAmounts `json:"delta,omitzero"`
}

// BillingReceiver is how far a receiver is.
type BillingReceiver struct {
	// name of the receiver.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +required
	Name string `json:"name,omitempty"`

	// through is the number of the last event that the receiver has, or that was given up.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Through int64 `json:"through,omitempty"`
}
