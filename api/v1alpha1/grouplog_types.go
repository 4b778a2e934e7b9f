package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// GroupLog is a segment of the log of a Group: what has happened to the Group, its keys and its allowlists, and who did it. The
// manager writes it, and nobody else. The API server accepts only that something is appended. Segments stay when the Group is
// deleted, until they are as old as the log is kept.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:resource:path=grouplogs,singular=grouplog,shortName=kwl,categories=keyward
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.group`
// +kubebuilder:printcolumn:name="First",type=integer,JSONPath=`.spec.first`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GroupLog struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the segment.
	//
	// +required
	Spec GroupLogSpec `json:"spec,omitzero"`
}

// GroupLogList is a list of GroupLogs.
//
// +kubebuilder:object:root=true
type GroupLogList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GroupLog `json:"items"`
}

// GroupLogSpec is a segment of a log.
//
// +kubebuilder:validation:XValidation:rule="self.group == oldSelf.group && self.groupUID == oldSelf.groupUID && self.first == oldSelf.first",message="a segment stays what it is"
type GroupLogSpec struct {
	// group is the name of the Group, which is in the same namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Group string `json:"group,omitempty"`

	// groupUID is the metadata.uid of the Group: one that is created again with the same name has another log.
	//
	// +required
	GroupUID types.UID `json:"groupUID,omitempty"`

	// first is the sequence number of the first event.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	First int64 `json:"first,omitempty"`

	// events in sequence, one per line, at most 256 KiB. docs/reference/events.md describes them.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	// +kubebuilder:validation:XValidation:rule="self.startsWith(oldSelf)",message="a log is only appended to"
	// +required
	Events string `json:"events,omitempty"`
}

// LogHead is how far the log of a Group has come.
type LogHead struct {
	LogPosition `json:",inline"`

	// pruned is the last event that was deleted because of its age, or of the size of the log; absent where none was.
	//
	// +optional
	Pruned *PrunedLog `json:"pruned,omitempty"`
}

// LogPosition is a position in the log of a Group.
type LogPosition struct {
	// sequence is the number of the event.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Sequence int64 `json:"sequence,omitempty"`

	// id of the event.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	ID string `json:"id,omitempty"`

	// hash of the event: the SHA-256 of its content and the hash of the event before, in hexadecimal.
	//
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	// +required
	Hash string `json:"hash,omitempty"`
}

// PrunedLog is how far the log of a Group is deleted.
type PrunedLog struct {
	LogPosition `json:",inline"`

	// through is the time of the latest event that was deleted. What happened until then is not recorded again.
	//
	// +required
	Through metav1.Time `json:"through,omitzero"`

	// reason of the last deletion: Age if the events were older than logRetention of the tier, and Size if the log was larger than its
	// logSize.
	//
	// +kubebuilder:validation:Enum=Age;Size
	// +required
	Reason PruneReason `json:"reason,omitempty"`
}

// PruneReason is why the beginning of the log of a Group was deleted.
type PruneReason string

// Reasons.
const (
	PrunedByAge  PruneReason = "Age"
	PrunedBySize PruneReason = "Size"
)
