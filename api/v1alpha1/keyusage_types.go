package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeyUsage is the ledger of the quota of one ApiKey that has a quota of its own. It is in the namespace of the ApiKey's Group, named by
// the status.keyID of the ApiKey, and deleted with either. The manager writes it, and nobody else; with another usage store
// there is none.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=keyusages,singular=keyusage,shortName=kwku,categories=keyward
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.group`
// +kubebuilder:printcolumn:name="Namespace of ApiKey",type=string,JSONPath=`.spec.apiKey.namespace`,priority=1
// +kubebuilder:printcolumn:name="ApiKey",type=string,JSONPath=`.spec.apiKey.name`
// +kubebuilder:printcolumn:name="Month",type=string,JSONPath=`.spec.ledgers[0].month`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeyUsage struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the ledger.
	//
	// +required
	Spec KeyUsageSpec `json:"spec,omitzero"`
}

// KeyUsageList is a list of KeyUsages.
//
// +kubebuilder:object:root=true
type KeyUsageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeyUsage `json:"items"`
}

// KeyUsageSpec is the ledger of the quota of one ApiKey.
type KeyUsageSpec struct {
	// group is the name of the Group of the ApiKey, which is in the same namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Group string `json:"group,omitempty"`

	// apiKey is the ApiKey that the quota is of.
	//
	// +required
	APIKey KeyUsageOwner `json:"apiKey,omitzero"`

	// ledgers of this period and of the last, from which a new leader continues, the latest first.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=map
	// +listMapKey=month
	// +optional
	Ledgers []MonthLedger `json:"ledgers,omitempty"`
}

// KeyUsageOwner names an ApiKey.
type KeyUsageOwner struct {
	// namespace of the ApiKey.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Namespace string `json:"namespace,omitempty"`

	// name of the ApiKey.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
}
