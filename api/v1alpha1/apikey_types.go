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

// LifetimeNever is the Lifetime of keys that do not expire.
const LifetimeNever Lifetime = "Never"

// ApiKeySpec is the desired state of an ApiKey.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.expiresAfter) && has(self.expiresAt))",message="expiresAfter and expiresAt exclude each other; remove one"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.revoked) && oldSelf.revoked) || (has(self.revoked) && self.revoked)",message="a revocation cannot be undone; create a new ApiKey instead",fieldPath=".revoked"
type ApiKeySpec struct {
	// groupRef names the Group whose content the key reads; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a key stays with its Group; create a new ApiKey for another Group"
	// +required
	GroupRef GroupReference `json:"groupRef,omitzero"`

	// projects of the Group that the key may reach, 1 to 64. There is no wildcard, on purpose.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +required
	Projects []ProjectName `json:"projects,omitempty"`

	// permissions of the key, 1 to 33: read (default) or capabilities of the Group.
	//
	// +kubebuilder:default={"read"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=33
	// +listType=set
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

	// suspended refuses the key with 403 key_suspended for as long as it is true; default false.
	//
	// +kubebuilder:default=false
	// +optional
	Suspended *bool `json:"suspended,omitempty"`

	// revoked refuses the key with 401 key_revoked for good; default false.
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

// SecretSpec is where a key is delivered.
//
// +kubebuilder:validation:XValidation:rule="has(self.name) == has(oldSelf.name)",message="the Secret of a key keeps its name; create a new ApiKey for another Secret",fieldPath=".name"
type SecretSpec struct {
	// name of the Secret; default: the name of the ApiKey; immutable. A Secret of that name
	// that does not belong to the ApiKey is never touched.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the Secret of a key keeps its name; create a new ApiKey for another Secret"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	Name string `json:"name,omitempty"`

	// template shapes the Secret.
	//
	// +kubebuilder:default={}
	// +optional
	Template SecretTemplate `json:"template,omitzero"`
}

// SecretKeyAPIKey is the key of the Secret's data that holds the key text.
const SecretKeyAPIKey = "api-key"

// SecretTemplate shapes a Secret.
type SecretTemplate struct {
	// type of the Secret; default Opaque; immutable, as it is on Secrets.
	//
	// +kubebuilder:default=Opaque
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the type of a Secret cannot change; create a new ApiKey"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('kubernetes.io/') || self == 'kubernetes.io/basic-auth'",message="this type has a meaning to Kubernetes that a key cannot have; use Opaque or a type of your own"
	// +optional
	Type string `json:"type,omitempty"`

	// labels to set on the Secret, at most 32. Those of keyward.dev are the operator's own.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('keyward.dev/') && k != 'app.kubernetes.io/managed-by')",message="labels of keyward.dev and app.kubernetes.io/managed-by are set by the operator"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 316 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="names must be qualified Kubernetes label names"
	// +optional
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations to set on the Secret, at most 32. Those of keyward.dev are the operator's own.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('keyward.dev/'))",message="annotations of keyward.dev are set by the operator"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 316 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="names must be qualified Kubernetes annotation names"
	// +optional
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// data are further entries, at most 16, beside api-key. Values are Go templates over
	// .Key, .KeyID, .Name, .Namespace, .Group, .Projects and .ExpiresAt, with if, else, and the
	// functions b64enc, quote (a JSON string) and urlquery; for instance "ACME_KEY={{ .Key }}".
	//
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$') && k != '.' && k != '..')",message="names are 1 to 253 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="!('api-key' in self)",message="api-key holds the key itself; choose another name"
	// +optional
	Data map[string]EntryTemplate `json:"data,omitempty"`
}

// LabelValue is the value of a Kubernetes label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`
type LabelValue string

// AnnotationValue is the value of a Kubernetes annotation, of at most 8192 characters.
//
// +kubebuilder:validation:MaxLength=8192
type AnnotationValue string

// EntryTemplate is the template of an entry of a Secret, of at most 16384 characters.
//
// +kubebuilder:validation:MaxLength=16384
type EntryTemplate string

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
	// KeySuspended is a key that is refused until it is resumed, by itself or by its Group.
	KeySuspended KeyState = "Suspended"
	// KeyBlocked is a key that cannot be used until somebody acts; conditions say how.
	KeyBlocked KeyState = "Blocked"
	// KeyExpired is a key whose time is over.
	KeyExpired KeyState = "Expired"
	// KeyRevoked is a key that was revoked.
	KeyRevoked KeyState = "Revoked"
)

// VersionState is the state of one version of a key.
//
// +kubebuilder:validation:Enum=Pending;Active;Expired;Revoked
type VersionState string

// States of a version. Expired and Revoked are final: a version never leaves them.
const (
	// VersionPending is published but not yet delivered.
	VersionPending VersionState = "Pending"
	// VersionActive is delivered.
	VersionActive VersionState = "Active"
	// VersionExpired is over by its expiry.
	VersionExpired VersionState = "Expired"
	// VersionRevoked is over by revocation.
	VersionRevoked VersionState = "Revoked"
)

// KeyVersion is one minted credential of an ApiKey.
type KeyVersion struct {
	// id of the version, unique within the ApiKey: 1, 2, …
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	ID int64 `json:"id,omitempty"`

	// state is Pending, Active, Expired or Revoked.
	//
	// +required
	State VersionState `json:"state,omitempty"`

	// preview is what may be shown of the key: its prefix and its last four characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Preview string `json:"preview,omitempty"`

	// digest is sha256: and the SHA-256 of the key text in hexadecimal.
	//
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	// +required
	Digest string `json:"digest,omitempty"`

	// mintedAt is when the version was minted.
	//
	// +required
	MintedAt metav1.Time `json:"mintedAt,omitzero"`

	// deliveredAt is when the version was seen in its Secret.
	//
	// +optional
	DeliveredAt *metav1.Time `json:"deliveredAt,omitempty"`

	// expiresAt is when the version ends; absent where it never does.
	//
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}

// SecretReference names a Secret in the namespace of the ApiKey.
type SecretReference struct {
	// name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
}

// ApiKeyStatus is the observed state of an ApiKey.
type ApiKeyStatus struct {
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

	// createdBy is the user who created the ApiKey, as admission saw them.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	CreatedBy string `json:"createdBy,omitempty"`

	// secretRef is the Secret that holds the key, once it does.
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

	// enforcement of the latest change of the key.
	//
	// +optional
	Enforcement *Enforcement `json:"enforcement,omitempty"`

	// conditions are Ready, Reconciling, Stalled, Enforced; at most 16.
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
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=apikeys,singular=apikey,shortName=ak,categories=keyward
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Preview",type=string,JSONPath=`.status.preview`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Projects",type=string,JSONPath=`.spec.projects`,priority=1
// +kubebuilder:printcolumn:name="Created By",type=string,JSONPath=`.status.createdBy`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
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
