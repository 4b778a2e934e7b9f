package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MissingOrigin is what happens to requests that carry neither Origin nor Referer.
//
// +kubebuilder:validation:Enum=Deny;Allow
type MissingOrigin string

const (
	// MissingOriginDeny refuses requests without an origin, with 403 origin_missing.
	MissingOriginDeny MissingOrigin = "Deny"
	// MissingOriginAllow accepts requests without an origin, such as those of servers.
	MissingOriginAllow MissingOrigin = "Allow"
)

// DomainAllowlistSpec is the desired state of a DomainAllowlist.
type DomainAllowlistSpec struct {
	// groupRef names the Group; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self.name == oldSelf.name && (!has(self.__namespace__) || !has(oldSelf.__namespace__) || self.__namespace__ == oldSelf.__namespace__)",message="an allowlist stays with its Group; create a new DomainAllowlist for another Group"
	// +required
	GroupRef GroupReference `json:"groupRef,omitzero"`

	// projects of the Group that the allowlist applies to, 1 to 64. Several allowlists of one
	// project are combined: an origin is allowed if any of them allows it.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(x, self.exists_one(y, x == y))",message="each is named once; remove the duplicate"
	// +listType=atomic
	// +required
	Projects []ProjectName `json:"projects,omitempty"`

	// domains whose pages may present a key, at most 256: acme.com, *.acme.com (any
	// subdomain, not acme.com itself), app-*.acme.com (within the first label, for
	// preview hosts), https://shop.acme.com:8443. Without a scheme both http and https
	// match; without a port, the scheme's default port. International names may be
	// written in their own script. Apps and browser extensions are listed exactly as they
	// send their origin: capacitor://localhost, chrome-extension://<id>.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=272
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([a-zA-Z][a-zA-Z0-9+.-]*://)?([^ /?#@*:.]*[*][^ /?#@*:.]*[.])?([^ /?#@*:]+|[[][0-9a-fA-F:.]+[]])(:[0-9]{1,5})?$')",message="write acme.com, *.acme.com, app-*.acme.com, https://shop.acme.com:8443, capacitor://localhost or the like, without a path; a wildcard is in the first label"
	// +listType=atomic
	// +optional
	Domains []string `json:"domains,omitempty"`

	// allowLocalhost accepts pages from localhost on any port; default true, for
	// development. Set it to false for production.
	//
	// +kubebuilder:default=true
	// +optional
	AllowLocalhost *bool `json:"allowLocalhost,omitempty"`

	// missingOrigin is what happens to requests with neither Origin nor Referer: Deny
	// (default) or Allow.
	//
	// +kubebuilder:default=Deny
	// +optional
	MissingOrigin MissingOrigin `json:"missingOrigin,omitempty"`
}

// DomainAllowlistStatus is the observed state of a DomainAllowlist.
type DomainAllowlistStatus struct {
	// observedGeneration is the metadata.generation that the rest of the status is about; -1 before the
	// object is first reconciled.
	//
	// +kubebuilder:validation:Minimum=-1
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, and while it is true Stalled; at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DomainAllowlist lists the origins that may present the keys of a project.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=domainallowlists,singular=domainallowlist,shortName=dal,categories=keyward
// +kubebuilder:selectablefield:JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Projects",type=string,JSONPath=`.spec.projects`
// +kubebuilder:printcolumn:name="Domains",type=string,JSONPath=`.spec.domains`
// +kubebuilder:printcolumn:name="Localhost",type=boolean,JSONPath=`.spec.allowLocalhost`,priority=1
// +kubebuilder:printcolumn:name="Missing Origin",type=string,JSONPath=`.spec.missingOrigin`,priority=1
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DomainAllowlist struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the DomainAllowlist.
	//
	// +required
	Spec DomainAllowlistSpec `json:"spec,omitzero"`

	// status is the observed state of the DomainAllowlist.
	//
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status DomainAllowlistStatus `json:"status,omitzero"`
}

// DomainAllowlistList is a list of DomainAllowlists.
//
// +kubebuilder:object:root=true
type DomainAllowlistList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DomainAllowlist `json:"items"`
}
