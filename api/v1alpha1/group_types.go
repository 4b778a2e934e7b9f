package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GroupState is whether the keys of a Group are accepted.
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

// NamespacesFrom says from which namespaces a Group may be referenced.
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

// Caching is who may keep answers to the Group's requests.
//
// +kubebuilder:validation:Enum=Private;Shared
type Caching string

const (
	// CachingPrivate lets browsers keep answers, and no cache that serves more than one client.
	CachingPrivate Caching = "Private"
	// CachingShared lets shared caches keep what the content server lets them keep.
	CachingShared Caching = "Shared"
)

// GroupSpec is the desired state of a Group.
type GroupSpec struct {
	// displayName is the Group's name for people, at most 128 characters; default: metadata.name.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	DisplayName string `json:"displayName,omitempty"`

	// tier names limits in the operator's tier catalogue; default: the catalogue's default,
	// which may be none. A tier that is not in the catalogue leaves the limits as they were.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$`
	// +optional
	Tier string `json:"tier,omitempty"`

	// limits of this Group in place of those of its tier.
	//
	// +kubebuilder:default={}
	// +optional
	Limits Limits `json:"limits,omitzero"`

	// state is whether the Group's keys are accepted: Active (default), Frozen or Suspended.
	// Anything but Active answers 403 to all keys of the Group at once; it is reversible.
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
	// the database or the bucket of the tenant. At most 32 entries; names are letters and
	// digits and differ in more than case, values are printable ASCII of at most 1024 characters.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z][A-Za-z0-9]{0,62}$'))",message="names are letters and digits, start with a letter, and have at most 63 characters"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.all(j, k == j || k.lowerAscii() != j.lowerAscii()))",message="two names differ only in case and would become the same HTTP header; rename one"
	// +optional
	Context map[string]ContextValue `json:"context,omitempty"`

	// caching is who may keep answers to allowed requests: Private (default), only the client, such
	// as a browser; or Shared, also caches and CDNs in front of the validation server, as the content
	// server's Cache-Control says. What such a cache has kept it serves without asking: also after
	// a revocation, beyond quotas, and by itself for each key, which Vary tells it to keep apart.
	//
	// +kubebuilder:default=Private
	// +optional
	Caching Caching `json:"caching,omitempty"`

	// keyPolicy bounds the keys of the Group. It applies when a key is minted.
	//
	// +kubebuilder:default={}
	// +optional
	KeyPolicy KeyPolicy `json:"keyPolicy,omitzero"`

	// defaultKey is an ApiKey that is created with the Group.
	//
	// +kubebuilder:default={}
	// +optional
	DefaultKey DefaultKey `json:"defaultKey,omitzero"`

	// allowedNamespaces says in which namespaces ApiKeys may refer to this Group; default: its own.
	//
	// +kubebuilder:default={}
	// +optional
	AllowedNamespaces AllowedNamespaces `json:"allowedNamespaces,omitzero"`

	// allowlistsFrom says from which namespaces DomainAllowlists of this Group count; default: its
	// own. Whoever writes one there says which origins may use all keys of a project.
	//
	// +kubebuilder:default={}
	// +optional
	AllowlistsFrom AllowedNamespaces `json:"allowlistsFrom,omitzero"`
}

// ContextValue is a value that becomes an HTTP header: printable ASCII of at most 1024
// characters without spaces at the ends.
//
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:Pattern=`^([!-~]([ -~]*[!-~])?)?$`
type ContextValue string

// Project is a part of a Group's content.
type Project struct {
	// name of the project, unique within the Group.
	//
	// +required
	Name ProjectName `json:"name,omitempty"`

	// routes say which requests are for this project, at most 32; any of them may match.
	// Among the projects of the Group the most specific route wins: host, then the longest
	// literal path, then the number of query parameters. A project without routes is
	// reached only where the proxy names it to the validation server.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Routes []Route `json:"routes,omitempty"`
}

// Route describes requests. All given parts must match, of each part any value.
//
// +kubebuilder:validation:MinProperties=1
type Route struct {
	// methods in upper case, at most 16; default: any.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Z-]*$`
	// +listType=set
	// +optional
	Methods []string `json:"methods,omitempty"`

	// hosts without port, at most 32: cdn.acme.com, or *.acme.com for any subdomain of it;
	// default: any.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +listType=set
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// paths are patterns, at most 32: * is any run of characters within one segment, a trailing /** is
	// the subtree; default: any.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^/[^\s?#]*$`
	// +listType=set
	// +optional
	Paths []string `json:"paths,omitempty"`

	// query are parameters, at most 8, each with the values of which any may be given; a
	// request that gives a parameter twice must give listed values only.
	//
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) > 0 && size(k) <= 128)",message="parameter names have 1 to 128 characters"
	// +optional
	Query map[string]QueryValues `json:"query,omitempty"`
}

// QueryValues are the values of which a query parameter may have any, 1 to 32 of at most
// 256 characters each.
//
// +kubebuilder:validation:MinItems=1
// +kubebuilder:validation:MaxItems=32
// +kubebuilder:validation:items:MaxLength=256
// +listType=set
type QueryValues []string

// Capability is a named permission.
//
// +kubebuilder:validation:XValidation:rule="self.name != 'read'",message="read is built in: it allows GET and HEAD; give the capability another name"
type Capability struct {
	// name of the capability, unique within the Group; read is built in.
	//
	// +required
	Name PermissionName `json:"name,omitempty"`

	// routes that the capability allows, 1 to 32; any of them may match.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +required
	Routes []Route `json:"routes,omitempty"`
}

// KeyPolicy bounds the keys of a Group.
type KeyPolicy struct {
	// prefix of the key text before the underscore, 2 to 16 lower-case letters and digits;
	// default kw. Scanners for leaked secrets find keys by it.
	//
	// +kubebuilder:default=kw
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9]*$`
	// +optional
	Prefix string `json:"prefix,omitempty"`

	// defaultLifetime of keys that do not say when they expire; default 90d, or maxLifetime
	// where that is shorter.
	//
	// +optional
	DefaultLifetime Duration `json:"defaultLifetime,omitempty"`

	// maxLifetime that a key may have; default: unbounded.
	//
	// +optional
	MaxLifetime Duration `json:"maxLifetime,omitempty"`

	// allowNever lets keys be declared that never expire; default false.
	//
	// +kubebuilder:default=false
	// +optional
	AllowNever *bool `json:"allowNever,omitempty"`
}

// DefaultKey is an ApiKey that is created with a Group, for all projects that the Group has
// then, and deleted with it. Everything else about it, and what it becomes later, is for its
// owner to edit.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.name) || has(self.name) && self.name == oldSelf.name",message="the default key keeps its name; disable it and create an ApiKey of your own",fieldPath=".name"
type DefaultKey struct {
	// enabled creates the ApiKey, and creates it again where it was deleted; default false.
	// Disabling leaves an ApiKey that is there as it is.
	//
	// +kubebuilder:default=false
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// name of the ApiKey; default: the name of the Group and "-default".
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	Name string `json:"name,omitempty"`
}

// AllowedNamespaces says from which namespaces a Group may be referenced, as Gateway API
// listeners do. An empty selector admits every namespace.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Selector') == has(self.selector)",message="selector is for from: Selector, and required there"
type AllowedNamespaces struct {
	// from is Same (default, the Group's own namespace), All or Selector.
	//
	// +kubebuilder:default=Same
	// +optional
	From NamespacesFrom `json:"from,omitempty"`

	// selector of namespaces by their labels, for from: Selector.
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

	// usage of the current month.
	//
	// +optional
	Usage *GroupUsage `json:"usage,omitempty"`

	// previousUsage is that of the month before, which validation servers that were away may
	// still report.
	//
	// +optional
	PreviousUsage *GroupUsage `json:"previousUsage,omitempty"`

	// enforcement of the latest change of the Group or of its DomainAllowlists.
	//
	// +optional
	Enforcement *Enforcement `json:"enforcement,omitempty"`

	// conditions are Ready, Enforced, RoutesOverlap, TierResolved, QuotaLow, QuotaExceeded, and while
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

// Group is whose content it is: an organization, a tenant.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
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
