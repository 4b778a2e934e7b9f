package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Lifetime is a Duration or Never.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^(Never|([0-9]{1,2}y)?([0-9]{1,3}w)?([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?)$')",message="write Never, or whole numbers with units, largest first, such as 90d, 24h, 15m or 1d12h"
type Lifetime string

// LifetimeNever is the Lifetime of keys that never expire.
const LifetimeNever Lifetime = "Never"

// ApiKeySpec is the desired state of an ApiKey.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.expiresAfter) && has(self.expiresAt))",message="expiresAfter and expiresAt exclude each other; remove one"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.revoked) && oldSelf.revoked) || (has(self.revoked) && self.revoked)",message="a revocation cannot be undone; create a new ApiKey instead",fieldPath=".revoked"
// +kubebuilder:validation:XValidation:rule="!(has(self.rotation) && has(self.rotation.every) && has(self.secret) && has(self.secret.reveal) && self.secret.reveal == 'Once')",message="a key that is revealed once needs somebody to claim each new version: rotate it by rotation.trigger, not by rotation.every",fieldPath=".rotation.every"
type ApiKeySpec struct {
	// groupRef names the Group whose content the key reads; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self.name == oldSelf.name && (!has(self.__namespace__) || !has(oldSelf.__namespace__) || self.__namespace__ == oldSelf.__namespace__)",message="a key stays with its Group; create a new ApiKey for another Group"
	// +required
	GroupRef GroupReference `json:"groupRef,omitzero"`

	// projects of the Group that the key may reach, 1 to 64. There is no wildcard, on purpose.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(x, self.exists_one(y, x == y))",message="each is named once; remove the duplicate"
	// +listType=atomic
	// +required
	Projects []ProjectName `json:"projects,omitempty"`

	// permissions of the key, 1 to 33: read (default) or capabilities of the Group.
	//
	// +kubebuilder:default={"read"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=33
	// +kubebuilder:validation:XValidation:rule="self.all(x, self.exists_one(y, x == y))",message="each is named once; remove the duplicate"
	// +listType=atomic
	// +optional
	Permissions []PermissionName `json:"permissions,omitempty"`

	// description says which application or pipeline the key serves, at most 500 characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Description string `json:"description,omitempty"`

	// expiresAfter is the lifetime of a minted key, from its minting, such as 90d, or Never
	// where the Group's keyPolicy allows it; default: the Group's defaultLifetime.
	//
	// +optional
	ExpiresAfter Lifetime `json:"expiresAfter,omitempty"`

	// expiresAt is the instant at which the key ends, to the second; excludes expiresAfter.
	//
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// rotation periodically replaces the key with a new version, with an overlap in which both
	// are accepted.
	//
	// +kubebuilder:default={}
	// +optional
	Rotation Rotation `json:"rotation,omitzero"`

	// importFrom makes an existing key the first version, so that its holders notice nothing;
	// later versions are minted. It takes effect only before there is a first version, and may
	// be removed afterwards. It cannot name another Secret or hash.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a key is imported once; create a new ApiKey to import another"
	// +optional
	ImportFrom *ImportSource `json:"importFrom,omitempty"`

	// context is laid over the context of the Group: allowed requests with the key have these values in place of the
	// Group's or beside them, as X-Keyward-Context-<Name>. Only names that the Group lists in keyPolicy.keysMaySet have an effect.
	// It has at most 32 entries; names consist of letters and digits and differ in more than case, values are printable ASCII
	// of at most 1024 characters.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z][A-Za-z0-9]{0,62}$'))",message="names are letters and digits, start with a letter, and have at most 63 characters"
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.all(j, k == j || k.lowerAscii() != j.lowerAscii()))",message="two names differ only in case and would become the same HTTP header; rename one"
	// +optional
	Context map[string]ContextValue `json:"context,omitempty"`

	// limits of this key alone, in addition to those of its Group.
	//
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="!has(self.burst) || has(self.requestsPerSecond)",message="a burst means nothing without requestsPerSecond; set it, or remove burst",fieldPath=".burst"
	// +optional
	Limits KeyLimits `json:"limits,omitzero"`

	// clients are those that may present the key: Any, Browser or Server; default: Any. A key for browsers needs
	// an allowed origin, also in a project that accepts requests without one. A key for servers is refused in
	// requests that a browser sends.
	//
	// +optional
	Clients Clients `json:"clients,omitempty"`

	// addresses from which the key is accepted, 1 to 64 prefixes such as 192.0.2.0/24 or 2001:db8::/32; default:
	// any address. A validation server that does not know the address of a client refuses it.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Addresses []AddressPrefix `json:"addresses,omitempty"`

	// signedURLs determines whether the key signs URLs, with which those who have no key request what is below one
	// path, for 24 hours at most; default: false. Validation servers get a secret that is derived from the key for that.
	// Imported keys sign none unless they have Keyward's own form.
	//
	// +kubebuilder:default=false
	// +optional
	SignedURLs *bool `json:"signedURLs,omitempty"`

	// suspended refuses the key with 403 key_suspended while it is true; default false.
	//
	// +kubebuilder:default=false
	// +optional
	Suspended *bool `json:"suspended,omitempty"`

	// revoked refuses the key with 401 key_revoked forever; it cannot be undone; default false.
	//
	// +kubebuilder:default=false
	// +optional
	Revoked *bool `json:"revoked,omitempty"`

	// secret is where the key is delivered.
	//
	// +kubebuilder:default={}
	// +optional
	Secret SecretSpec `json:"secret,omitzero"`
}

// KeyState summarizes an ApiKey.
//
// +kubebuilder:validation:Enum=Pending;Active;Suspended;Blocked;Expired;Revoked
type KeyState string

// States of an ApiKey. Expired and Revoked are final.
const (
	// KeyPending is a key that is being minted, published or delivered.
	KeyPending KeyState = "Pending"
	// KeyActive is a key that is accepted.
	KeyActive KeyState = "Active"
	// KeySuspended is a key that is refused while it, or its Group, is suspended, or its Group is frozen.
	KeySuspended KeyState = "Suspended"
	// KeyBlocked is a key that cannot be used until somebody acts; its conditions say what to do.
	KeyBlocked KeyState = "Blocked"
	// KeyExpired is a key that has expired.
	KeyExpired KeyState = "Expired"
	// KeyRevoked is a key that was revoked.
	KeyRevoked KeyState = "Revoked"
)

// SecretReference names a Secret in the namespace of the ApiKey.
type SecretReference struct {
	// name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
}

// KeyRequests is how often a key was used in a calendar month (UTC). Quotas are not based on it.
type KeyRequests struct {
	// period is the month, such as 2026-11.
	//
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}$`
	// +required
	Period string `json:"period,omitempty"`

	// requests that were allowed with the key.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	Requests *int64 `json:"requests,omitempty"`

	// days are the requests of the last 31 days, also of earlier months.
	//
	// +optional
	Days *KeyDays `json:"days,omitempty"`
}

// KeyDays are the requests of a key by day (UTC). Requests count for the day on which they are written into the status.
type KeyDays struct {
	// last is the day of the first number, such as 2026-11-27.
	//
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	// +required
	Last string `json:"last,omitempty"`

	// requests of that day, of the day before it, and so on; at most 31.
	//
	// +kubebuilder:validation:MaxItems=31
	// +listType=atomic
	// +optional
	Requests []int64 `json:"requests,omitempty"`
}

// ApiKeyStatus is the observed state of an ApiKey.
type ApiKeyStatus struct {
	// observedGeneration is the metadata.generation that the rest of the status is about; -1 before the
	// object is first reconciled.
	//
	// +kubebuilder:validation:Minimum=-1
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// keyID identifies the ApiKey in headers, logs and metrics. It is no secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +optional
	KeyID string `json:"keyID,omitempty"`

	// state summarizes the ApiKey: Pending, Active, Suspended, Blocked, Expired or Revoked.
	//
	// +optional
	State KeyState `json:"state,omitempty"`

	// preview of the current version.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Preview string `json:"preview,omitempty"`

	// expiresAt of the current version; absent where it never ends.
	//
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// nextRotationAt is when the key rotates automatically; absent where it does not.
	//
	// +optional
	NextRotationAt *metav1.Time `json:"nextRotationAt,omitempty"`

	// lastHandledRotateRequest is the value of the annotation keyward.dev/rotate-requested-at for which a
	// version was last delivered.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	LastHandledRotateRequest string `json:"lastHandledRotateRequest,omitempty"`

	// handledRotations are the last 64 requests to rotate, and values of rotation.trigger, for which a version was
	// delivered, oldest first: none of them rotates again.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	HandledRotations []HandledRotation `json:"handledRotations,omitempty"`

	// handledThrough is the latest time of the requests that handledRotations no longer has: a request
	// that names no later one does not rotate.
	//
	// +optional
	HandledThrough *metav1.Time `json:"handledThrough,omitempty"`

	// lastUsedAt is when a request was last allowed with a version of the key, as far as
	// validation servers have reported; absent where none was. It is updated periodically.
	//
	// +optional
	LastUsedAt *metav1.Time `json:"lastUsedAt,omitempty"`

	// usage of the latest month in which the key was used, as far as validation servers have
	// reported; absent where it never was. It is updated periodically.
	//
	// +optional
	Usage *KeyRequests `json:"usage,omitempty"`

	// quota is what is used of limits.requestsPerMonth; absent where the key has no quota of its own. It is updated periodically.
	//
	// +optional
	Quota *KeyQuota `json:"quota,omitempty"`

	// createdBy is the user who created the ApiKey, as recorded by admission.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	CreatedBy string `json:"createdBy,omitempty"`

	// secretRef is the Secret that holds the key; absent while none does.
	//
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// versions of the key, oldest first.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=id
	// +optional
	Versions []KeyVersion `json:"versions,omitempty"`

	// leak is the last report that a text of the key was found where others can read it; absent once that
	// version has ended.
	//
	// +optional
	Leak *KeyLeak `json:"leak,omitempty"`

	// enforcement of the latest change of the key.
	//
	// +optional
	Enforcement *Enforcement `json:"enforcement,omitempty"`

	// conditions are Ready, Accepted, Enforced, and while they are true Reconciling, Stalled,
	// ExpiringSoon, CutoverPending, SecretContested, FollowUpPending, Leaked, Unused; at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ApiKey is one consumer's right to read content of a Group.
//
// +kubebuilder:object:root=true
// +kubebuilder:validation:XValidation:rule="(has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name) == (has(oldSelf.spec.secret) && has(oldSelf.spec.secret.name) ? oldSelf.spec.secret.name : oldSelf.metadata.name)",message="the Secret of a key keeps its name; create a new ApiKey for another Secret",fieldPath=".spec.secret.name"
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=apikeys,singular=apikey,shortName=ak,categories=keyward
// +kubebuilder:selectablefield:JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Preview",type=string,JSONPath=`.status.preview`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Rotates",type=string,JSONPath=`.status.nextRotationAt`,priority=1
// +kubebuilder:printcolumn:name="Last Used",type=date,JSONPath=`.status.lastUsedAt`,priority=1
// +kubebuilder:printcolumn:name="Projects",type=string,JSONPath=`.spec.projects`,priority=1
// +kubebuilder:printcolumn:name="Created By",type=string,JSONPath=`.status.createdBy`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ApiKey struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the ApiKey.
	//
	// +required
	Spec ApiKeySpec `json:"spec,omitzero"`

	// status is the observed state of the ApiKey.
	//
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status ApiKeyStatus `json:"status,omitzero"`
}

// ApiKeyList is a list of ApiKeys.
//
// +kubebuilder:object:root=true
type ApiKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ApiKey `json:"items"`
}
