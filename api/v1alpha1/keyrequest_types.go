package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KeyRequestSpec is what is asked for.
type KeyRequestSpec struct {
	// groupRef names the Group that a key is asked of.
	//
	// +required
	GroupRef GroupReference `json:"groupRef,omitzero"`

	// projects of the Group that the key is to reach, 1 to 64.
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

	// useCase says to the owner of the Group what the key is for, 1 to 500 characters, of which line feeds and tabs are the only
	// control characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[^\\P{Cc}\\n\\t]')",message="it has control characters, which would act on the terminals of others; write text"
	// +required
	UseCase string `json:"useCase,omitempty"`

	// lifetime of the key from its creation, such as 90d, at most the Group's maxLifetime; default: the Group's defaultLifetime.
	//
	// +optional
	Lifetime Duration `json:"lifetime,omitempty"`
}

// KeyRequestState summarizes a KeyRequest.
//
// +kubebuilder:validation:Enum=Pending;Approved;Issued;Refused;Withdrawn;Expired
type KeyRequestState string

// States of a KeyRequest. Refused, Withdrawn and Expired are final.
const (
	// KeyRequestPending is a request that nobody has decided about.
	KeyRequestPending KeyRequestState = "Pending"
	// KeyRequestApproved is a request that is approved, and has no key yet.
	KeyRequestApproved KeyRequestState = "Approved"
	// KeyRequestIssued is a request for which an ApiKey was created.
	KeyRequestIssued KeyRequestState = "Issued"
	// KeyRequestRefused is a request that was refused.
	KeyRequestRefused KeyRequestState = "Refused"
	// KeyRequestWithdrawn is a request whose approval was withdrawn.
	KeyRequestWithdrawn KeyRequestState = "Withdrawn"
	// KeyRequestExpired is a request that nobody decided about for 30 days.
	KeyRequestExpired KeyRequestState = "Expired"
)

// Final reports whether nothing changes the state any more.
func (s KeyRequestState) Final() bool {
	return s == KeyRequestRefused || s == KeyRequestWithdrawn || s == KeyRequestExpired
}

// IssuedKey is the ApiKey that was created for a request.
type IssuedKey struct {
	// name of the ApiKey, which is in the namespace of the request.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// uid is the metadata.uid of the ApiKey.
	//
	// +required
	UID types.UID `json:"uid,omitempty"`
}

// KeyRequestStatus is the observed state of a KeyRequest.
type KeyRequestStatus struct {
	// observedGeneration is the metadata.generation that the rest of the status is about; -1 before the
	// object is first reconciled.
	//
	// +kubebuilder:validation:Minimum=-1
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state summarizes the request: Pending, Approved, Issued, Refused, Withdrawn or Expired.
	//
	// +optional
	State KeyRequestState `json:"state,omitempty"`

	// key is the ApiKey that was created for the request.
	//
	// +optional
	Key *IssuedKey `json:"key,omitempty"`

	// decided is who has decided what about the request, at most 2: an approval, and that it was withdrawn, or a refusal.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=map
	// +listMapKey=verdict
	// +optional
	Decided []Decided `json:"decided,omitempty"`

	// conditions are Ready, and while they are true Reconciling and Stalled; at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// KeyRequest asks the owner of a Group for an ApiKey. If it is approved, the manager creates an ApiKey of the same name in this namespace,
// which is deleted with the request. What is asked cannot be changed: create another request instead.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=keyrequests,singular=keyrequest,shortName=kr,categories=keyward
// +kubebuilder:selectablefield:JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.groupRef.name`
// +kubebuilder:printcolumn:name="Projects",type=string,JSONPath=`.spec.projects`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Key",type=string,JSONPath=`.status.key.name`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeyRequest struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is asked for; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a request stays what it is, because somebody decides about it; create another KeyRequest instead"
	// +required
	Spec KeyRequestSpec `json:"spec,omitzero"`

	// status is the observed state of the KeyRequest.
	//
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status KeyRequestStatus `json:"status,omitzero"`
}

// KeyRequestList is a list of KeyRequests.
//
// +kubebuilder:object:root=true
type KeyRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeyRequest `json:"items"`
}
