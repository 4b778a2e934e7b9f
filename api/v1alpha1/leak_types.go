package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LeakResponse is what happens to a key whose text was found in public.
//
// +kubebuilder:validation:Enum=Notify;Suspend;Rotate;Revoke
type LeakResponse string

// Responses to a leak.
const (
	// LeakNotify sets the condition Leaked, and nothing else.
	LeakNotify LeakResponse = "Notify"
	// LeakSuspend suspends the key, until somebody resumes it.
	LeakSuspend LeakResponse = "Suspend"
	// LeakRotate replaces the key, with a short overlap.
	LeakRotate LeakResponse = "Rotate"
	// LeakRevoke revokes the key for good.
	LeakRevoke LeakResponse = "Revoke"
)

// KeyLeak is a report that the text of a version was found where others can read it.
type KeyLeak struct {
	// version whose text was found.
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	Version int64 `json:"version,omitempty"`

	// reportedAt is when it was reported first.
	//
	// +required
	ReportedAt metav1.Time `json:"reportedAt,omitzero"`

	// source is who reported it, such as github.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Source string `json:"source,omitempty"`

	// url is where it was found, without user, query and fragment.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	URL string `json:"url,omitempty"`

	// response is what was done about it, by the Group's keyPolicy.onLeak; absent before that.
	//
	// +optional
	Response LeakResponse `json:"response,omitempty"`
}
