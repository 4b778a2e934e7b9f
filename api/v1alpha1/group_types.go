package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GroupState determines whether the keys of a Group are accepted.
//
// +kubebuilder:validation:Enum=Active;Frozen;Suspended
type GroupState string

const (
	// GroupActive accepts the Group's keys.
	GroupActive GroupState = "Active"
	// GroupFrozen refuses all keys with 403 group_frozen, for instance over an open bill.
	GroupFrozen GroupState = "Frozen"
	// GroupSuspended refuses all keys with 403 group_suspended, for instance over abuse.
	GroupSuspended GroupState = "Suspended"
)

// NamespacesFrom determines from which namespaces a Group may be referenced.
//
// +kubebuilder:validation:Enum=Same;All;Selector
type NamespacesFrom string

const (
	// NamespacesFromSame admits only the Group's own namespace.
	NamespacesFromSame NamespacesFrom = "Same"
	// NamespacesFromAll admits every namespace.
	NamespacesFromAll NamespacesFrom = "All"
	// NamespacesFromSelector admits the Group's own namespace and those whose labels match.
	NamespacesFromSelector NamespacesFrom = "Selector"
)

// Caching determines who may cache responses to the Group's requests.
//
// +kubebuilder:validation:Enum=Private;Shared
type Caching string

const (
	// CachingPrivate allows browsers to cache responses, but no cache that serves more than one client.
	CachingPrivate Caching = "Private"
	// CachingShared allows shared caches to cache what the content server allows.
	CachingShared Caching = "Shared"
)

// GroupSpec is the desired state of a Group.
//
// +kubebuilder:validation:XValidation:rule="!has(self.context) || !has(self.keyPolicy) || !has(self.keyPolicy.keysMaySet) || self.keyPolicy.keysMaySet.all(k, self.context.all(j, k == j || k.lowerAscii() != j.lowerAscii()))",message="a name differs from one of spec.context only in case and would become the same HTTP header; write both alike",fieldPath=".keyPolicy.keysMaySet"
// +kubebuilder:validation:XValidation:rule="!has(self.context) || !has(self.keyPolicy) || !has(self.keyPolicy.keysMaySet) || self.context.size() + self.keyPolicy.keysMaySet.filter(k, !(k in self.context)).size() <= 32",message="spec.context and this list have at most 32 names together; remove some",fieldPath=".keyPolicy.keysMaySet"
type GroupSpec struct {
	// displayName is the Group's name for people, at most 128 characters; default: metadata.name.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	DisplayName string `json:"displayName,omitempty"`

	// tier is the name of a tier in the operator's catalogue, which has the limits; default: the catalogue's default,
	// which may be none. With a tier that is not in the catalogue, the limits stay as they were.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$`
	// +optional
	Tier string `json:"tier,omitempty"`

	// billing is who pays for the Group: with it, what is used is sent to the billing engines that the manager is configured with.
	// A change counts for what is closed after it, at the next full hour.
	//
	// +optional
	Billing BillingReference `json:"billing,omitzero"`

	// limits override those of the Group's tier.
	//
	// +kubebuilder:default={}
	// +optional
	Limits Limits `json:"limits,omitzero"`

	// state determines whether the Group's keys are accepted: Active (default), Frozen or Suspended.
	// In any state but Active, all keys of the Group are refused with 403 at once; this is reversible.
	//
	// +kubebuilder:default=Active
	// +optional
	State GroupState `json:"state,omitempty"`

	// projects divide the Group's content, at most 64. Without any, the Group has one
	// implicit project named default that owns every request.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Projects []Project `json:"projects,omitempty"`

	// capabilities are named permissions beyond the built-in read (GET and HEAD), at most 32.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	Capabilities []Capability `json:"capabilities,omitempty"`

	// context is injected into allowed requests as X-Keyward-Context-<Name>, for instance
	// the database or the bucket of the tenant. It has at most 32 entries; names consist of letters and
	// digits and differ in more than case, values are printable ASCII of at most 1024 characters.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z][A-Za-z0-9]{0,62}$'))",message="names are letters and digits, start with a letter, and have at most 63 characters"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.all(j, k == j || k.lowerAscii() != j.lowerAscii()))",message="two names differ only in case and would become the same HTTP header; rename one"
	// +optional
	Context map[string]ContextValue `json:"context,omitempty"`

	// sealedContext are credentials of the Group for the content server alone, such as those of its payment provider, at most 8.
	// The manager seals them with keys that the content server has, too, and they are injected into allowed requests as
	// X-Keyward-Sealed-<Name>. Names differ in more than case.
	//
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.all(j, k.name == j.name || k.name.lowerAscii() != j.name.lowerAscii()))",message="two names differ only in case and would become the same HTTP header; rename one"
	// +listType=map
	// +listMapKey=name
	// +optional
	SealedContext []SealedContext `json:"sealedContext,omitempty"`

	// caching determines who may cache responses to allowed requests: with Private (default) only the client, such
	// as a browser; with Shared also caches and CDNs in front of the validation server, according to the content
	// server's Cache-Control. Such a cache serves what it has stored without asking the validation server: also after
	// a revocation, and beyond quotas. It stores responses for each key separately, because of Vary.
	//
	// +kubebuilder:default=Private
	// +optional
	Caching Caching `json:"caching,omitempty"`

	// keyPolicy restricts the keys of the Group. It applies when a key is minted.
	//
	// +kubebuilder:default={}
	// +optional
	KeyPolicy KeyPolicy `json:"keyPolicy,omitzero"`

	// defaultKey is an ApiKey that is created with the Group.
	//
	// +kubebuilder:default={}
	// +optional
	DefaultKey DefaultKey `json:"defaultKey,omitzero"`

	// allowedNamespaces determines in which namespaces ApiKeys may refer to this Group; default: its own.
	//
	// +kubebuilder:default={}
	// +optional
	AllowedNamespaces AllowedNamespaces `json:"allowedNamespaces,omitzero"`

	// allowlistsFrom determines from which namespaces DomainAllowlists apply to this Group; default: its
	// own. Users who can write one there decide which origins may use all keys of a project.
	//
	// +kubebuilder:default={}
	// +optional
	AllowlistsFrom AllowedNamespaces `json:"allowlistsFrom,omitzero"`

	// contacts are whom to notify, at most 16. Events of the log that match carry them, for receivers to route by; validation
	// servers do not get them.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Contacts []Contact `json:"contacts,omitempty"`
}

// ContextName is the name of a context value: letters and digits, at most 63. It becomes part of the name of an HTTP header.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9]{0,62}$`
type ContextName string

// ContextValue is a value that becomes an HTTP header: printable ASCII of at most 1024
// characters without spaces at the ends.
//
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:Pattern=`^([!-~]([ -~]*[!-~])?)?$`
type ContextValue string

// AllowedNamespaces determines from which namespaces a Group may be referenced, as Gateway API
// listeners do. An empty selector admits every namespace.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Selector') == has(self.selector)",message="selector is for from: Selector, and required there"
type AllowedNamespaces struct {
	// from is Same (default, only the Group's own namespace), All or Selector.
	//
	// +kubebuilder:default=Same
	// +optional
	From NamespacesFrom `json:"from,omitempty"`

	// selector selects namespaces by their labels; it is required with from: Selector, and not allowed otherwise.
	//
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// GroupStatus is the observed state of a Group.
type GroupStatus struct {
	// observedGeneration is the metadata.generation that the rest of the status is about; -1 before the
	// object is first reconciled.
	//
	// +kubebuilder:validation:Minimum=-1
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// projects is the number of projects, the implicit one included.
	//
	// +optional
	Projects *int32 `json:"projects,omitempty"`

	// keys counts the ApiKeys of the Group.
	//
	// +optional
	Keys *GroupKeys `json:"keys,omitempty"`

	// limits in force.
	//
	// +optional
	Limits *GroupLimits `json:"limits,omitempty"`

	// usage of the latest period in which the Group was used. The GroupUsage of the same name has the other periods, and days.
	//
	// +optional
	Usage *UsageTotals `json:"usage,omitempty"`

	// quotaNotices are what people were notified of about the quotas of the running period, at most 10.
	//
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	QuotaNotices []QuotaNotice `json:"quotaNotices,omitempty"`

	// sealedContext are the values of spec.sealedContext as validation servers and content servers receive them, at most 8.
	//
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=name
	// +optional
	SealedContext []SealedValue `json:"sealedContext,omitempty"`

	// enforcement of the latest change of the Group or of its DomainAllowlists.
	//
	// +optional
	Enforcement *Enforcement `json:"enforcement,omitempty"`

	// conditions are Ready, Enforced, RoutesOverlap, TierResolved, ContextSealed, QuotaLow, QuotaExceeded, and while
	// they are true Reconciling, Stalled; at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GroupKeys counts the ApiKeys of a Group.
type GroupKeys struct {
	// active is the number of ApiKeys that are accepted.
	//
	// +kubebuilder:validation:Minimum=0
	// +required
	Active *int32 `json:"active,omitempty"`

	// limit is the most ApiKeys that the Group may have; absent where there is none.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Limit *int32 `json:"limit,omitempty"`
}

// Group is the tenant that owns the content, such as an organization.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=groups,singular=group,shortName=kwg,categories=keyward
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Projects",type=integer,JSONPath=`.status.projects`
// +kubebuilder:printcolumn:name="Keys",type=integer,JSONPath=`.status.keys.active`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Display Name",type=string,JSONPath=`.spec.displayName`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Group struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the Group.
	//
	// +optional
	Spec GroupSpec `json:"spec,omitzero"`

	// status is the observed state of the Group.
	//
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status GroupStatus `json:"status,omitzero"`
}

// GroupList is a list of Groups.
//
// +kubebuilder:object:root=true
type GroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Group `json:"items"`
}
