package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RequestMode determines whether keys of a Group can be requested.
//
// +kubebuilder:validation:Enum=Off;Manual;Automatic
type RequestMode string

const (
	// RequestsOff accepts no KeyRequests.
	RequestsOff RequestMode = "Off"
	// RequestsManual lets a person decide about each KeyRequest.
	RequestsManual RequestMode = "Manual"
	// RequestsAutomatic approves what the key policy admits, and refuses everything else.
	RequestsAutomatic RequestMode = "Automatic"
)

// Verdict is what is decided about a request.
//
// +kubebuilder:validation:Enum=Approved;Refused;Withdrawn
type Verdict string

const (
	// VerdictApproved has an ApiKey created.
	VerdictApproved Verdict = "Approved"
	// VerdictRefused ends the request.
	VerdictRefused Verdict = "Refused"
	// VerdictWithdrawn revokes the ApiKey of a request that was approved.
	VerdictWithdrawn Verdict = "Withdrawn"
)

// Via is how somebody has done something, by what the client says about itself.
//
// +kubebuilder:validation:Enum=kubectl;gitops;console;helm;automation;other
type Via string

// Vias are as the log of a Group has them.
const (
	ViaKubectl    Via = "kubectl"
	ViaGitOps     Via = "gitops"
	ViaConsole    Via = "console"
	ViaHelm       Via = "helm"
	ViaAutomation Via = "automation" // another client of a ServiceAccount
	ViaOther      Via = "other"
)

// Known reports whether it is one of the Vias.
func (v Via) Known() bool {
	switch v {
	case ViaKubectl, ViaGitOps, ViaConsole, ViaHelm, ViaAutomation, ViaOther:
		return true
	default:
		return false
	}
}

// Decision is what a person decides about a request.
type Decision struct {
	// verdict is Approved or Refused; and Withdrawn, after Approved. Refused and Withdrawn are final.
	//
	// +required
	Verdict Verdict `json:"verdict,omitempty"`

	// reason is a text for who asked, at most 500 characters, of which line feeds and tabs are the only control characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[^\\P{Cc}\\n\\t]')",message="it has control characters, which would act on the terminals of others; write text"
	// +optional
	Reason string `json:"reason,omitempty"`
}

// Decided is a decision with who made it and when. Admission writes it.
type Decided struct {
	// verdict that was decided.
	//
	// +required
	Verdict Verdict `json:"verdict,omitempty"`

	// reason that was given, at most 500 characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Reason string `json:"reason,omitempty"`

	// by is the user who decided.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +required
	By string `json:"by,omitempty"`

	// via is how the user decided: kubectl, gitops, console, helm, automation or other; absent where that is not known.
	//
	// +optional
	Via Via `json:"via,omitempty"`

	// at is when the user decided.
	//
	// +required
	At metav1.Time `json:"at,omitzero"`
}

// RequestIdentity is one KeyRequest.
type RequestIdentity struct {
	// namespace of the KeyRequest.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Namespace string `json:"namespace,omitempty"`

	// name of the KeyRequest.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// uid is the metadata.uid of the KeyRequest.
	//
	// +required
	UID types.UID `json:"uid,omitempty"`

	// by is the user who created it, as recorded by admission; absent where that is not known.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	By string `json:"by,omitempty"`

	// via is how that user created it, as recorded by admission: kubectl, gitops, console, helm, automation or other; absent where that is not
	// known.
	//
	// +optional
	Via Via `json:"via,omitempty"`

	// at is when it was created.
	//
	// +required
	At metav1.Time `json:"at,omitzero"`
}

// GroupIdentity is one Group.
type GroupIdentity struct {
	// name of the Group, which is in the namespace of the review.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// uid is the metadata.uid of the Group.
	//
	// +required
	UID types.UID `json:"uid,omitempty"`
}

// KeyRequestReviewSpec is a copy of a request, and what was decided about it.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.decision) || has(self.decision) && (self.decision == oldSelf.decision || oldSelf.decision.verdict == 'Approved' && self.decision.verdict == 'Withdrawn')",message="a decision stays; only an approval can be withdrawn",fieldPath=".decision"
// +kubebuilder:validation:XValidation:rule="has(oldSelf.decision) || !has(self.decision) || self.decision.verdict != 'Withdrawn'",message="only an approval can be withdrawn; write Refused",fieldPath=".decision"
// +kubebuilder:validation:XValidation:rule="has(oldSelf.permissions) == has(self.permissions)",message="a review is a copy of the request",fieldPath=".permissions"
// +kubebuilder:validation:XValidation:rule="has(oldSelf.lifetime) == has(self.lifetime)",message="a review is a copy of the request",fieldPath=".lifetime"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.decided) || has(self.decided)",message="what was decided stays",fieldPath=".decided"
type KeyRequestReviewSpec struct {
	// request is the KeyRequest; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a review is of one request"
	// +required
	Request RequestIdentity `json:"request,omitzero"`

	// group is the Group that a key is asked of; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a review is of one Group"
	// +required
	Group GroupIdentity `json:"group,omitzero"`

	// projects that are asked for, 1 to 64; immutable.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a review is a copy of the request"
	// +listType=atomic
	// +required
	Projects []ProjectName `json:"projects,omitempty"`

	// permissions that are asked for, 1 to 33; immutable.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=33
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a review is a copy of the request"
	// +listType=atomic
	// +optional
	Permissions []PermissionName `json:"permissions,omitempty"`

	// useCase is what who asks says that the key is for, 1 to 500 characters; immutable.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a review is a copy of the request"
	// +required
	UseCase string `json:"useCase,omitempty"`

	// lifetime that is asked for, such as 90d; absent for the Group's defaultLifetime; immutable.
	//
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a review is a copy of the request"
	// +optional
	Lifetime Duration `json:"lifetime,omitempty"`

	// decision is the only field that people write. It requires the verb approve on the Group.
	//
	// +optional
	Decision *Decision `json:"decision,omitempty"`

	// decided is who has decided what and when, at most 2: an approval, and that it was withdrawn, or a refusal. Admission writes it.
	//
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="oldSelf.all(x, self.exists(y, x == y))",message="what was decided stays"
	// +listType=map
	// +listMapKey=verdict
	// +optional
	Decided []Decided `json:"decided,omitempty"`
}

// KeyRequestReview is a request for a key of a Group, in the namespace of the Group, for its owner to decide about. The manager creates it,
// and deletes it with the KeyRequest or the Group.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=keyrequestreviews,singular=keyrequestreview,shortName=krr,categories=keyward
// +kubebuilder:selectablefield:JSONPath=`.spec.group.name`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.group.name`
// +kubebuilder:printcolumn:name="Namespace of Request",type=string,JSONPath=`.spec.request.namespace`
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.request.name`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.request.by`
// +kubebuilder:printcolumn:name="Projects",type=string,JSONPath=`.spec.projects`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision.verdict`
// +kubebuilder:printcolumn:name="Use Case",type=string,JSONPath=`.spec.useCase`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeyRequestReview struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the copy of the request, and the decision.
	//
	// +required
	Spec KeyRequestReviewSpec `json:"spec,omitzero"`
}

// KeyRequestReviewList is a list of KeyRequestReviews.
//
// +kubebuilder:object:root=true
type KeyRequestReviewList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeyRequestReview `json:"items"`
}
