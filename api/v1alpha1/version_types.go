package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VersionState is the state of one version of a key.
//
// +kubebuilder:validation:Enum=Pending;Active;Retiring;Retired;Expired;Revoked
type VersionState string

// States of a version. Retired, Expired and Revoked are final: a version never leaves them.
const (
	// VersionPending is published but not yet delivered.
	VersionPending VersionState = "Pending"
	// VersionActive is delivered.
	VersionActive VersionState = "Active"
	// VersionRetiring has a successor, and is accepted until its retiresAt instant.
	VersionRetiring VersionState = "Retiring"
	// VersionRetired has ended with its overlap with its successor.
	VersionRetired VersionState = "Retired"
	// VersionExpired has ended by its expiry.
	VersionExpired VersionState = "Expired"
	// VersionRevoked has ended by revocation.
	VersionRevoked VersionState = "Revoked"
)

// VersionCause is why a version was added.
//
// +kubebuilder:validation:Enum=Created;Scheduled;Triggered;Requested;Replaced;Imported;Restored
type VersionCause string

// Causes of versions.
const (
	// CauseCreated is the first version of a key.
	CauseCreated VersionCause = "Created"
	// CauseScheduled replaces a version that had reached the age for it, or was about to expire.
	CauseScheduled VersionCause = "Scheduled"
	// CauseTriggered replaces a version because rotation.trigger changed.
	CauseTriggered VersionCause = "Triggered"
	// CauseRequested replaces a version because the annotation keyward.dev/rotate-requested-at changed.
	CauseRequested VersionCause = "Requested"
	// CauseReplaced replaces a version whose text was lost with its Secret.
	CauseReplaced VersionCause = "Replaced"
	// CauseImported is a key that existed before the ApiKey.
	CauseImported VersionCause = "Imported"
	// CauseRestored was found in a Secret that outlived the status of its ApiKey.
	CauseRestored VersionCause = "Restored"
)

// KeyVersion is one credential of an ApiKey.
type KeyVersion struct {
	// id of the version, unique within the ApiKey: 1, 2, …
	//
	// +kubebuilder:validation:Minimum=1
	// +required
	ID int64 `json:"id,omitempty"`

	// state is Pending, Active, Retiring, Retired, Expired or Revoked.
	//
	// +required
	State VersionState `json:"state,omitempty"`

	// cause is why the version was added: Created (default), Scheduled, Triggered, Requested,
	// Replaced, Imported or Restored.
	//
	// +optional
	Cause VersionCause `json:"cause,omitempty"`

	// preview is the part of the key that may be shown: its prefix and its last four characters;
	// for an imported key of another form "imported", or importFrom.preview.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Preview string `json:"preview,omitempty"`

	// digest is sha256: and the SHA-256 of the key text in hexadecimal. For an imported key of
	// another form, or whose form is not known, it is hmac-sha256:, the id of the manager's secret, ':'
	// and an HMAC under that secret, so that nobody who reads it can test texts against it.
	//
	// +kubebuilder:validation:Pattern=`^(sha256|hmac-sha256:[0-9a-f]{8}):[0-9a-f]{64}$`
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=85
	// +required
	Digest string `json:"digest,omitempty"`

	// urlSecret is the secret with which the version signs URLs, encrypted so that only the manager reads it; absent
	// unless spec.signedURLs is set.
	//
	// +kubebuilder:validation:MinLength=83
	// +kubebuilder:validation:MaxLength=83
	// +kubebuilder:validation:Pattern=`^v1\.[A-Za-z0-9_-]{80}$`
	// +optional
	URLSecret string `json:"urlSecret,omitempty"`

	// trigger is the value of rotation.trigger when the version was added.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Trigger string `json:"trigger,omitempty"`

	// rotateRequest is the value of the annotation keyward.dev/rotate-requested-at that the version
	// has handled, with the overlap that was requested, if any.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	RotateRequest string `json:"rotateRequest,omitempty"`

	// declaredOverlap is rotation.overlap at the time of a request for another overlap: only a shorter
	// one that is declared later ends the requested one.
	//
	// +optional
	DeclaredOverlap Duration `json:"declaredOverlap,omitempty"`

	// mintedAt is when the version was minted or imported.
	//
	// +required
	MintedAt metav1.Time `json:"mintedAt,omitzero"`

	// deliveredAt is when the version was seen in its Secret.
	//
	// +optional
	DeliveredAt *metav1.Time `json:"deliveredAt,omitempty"`

	// claimedAt is, for reveal: Once, when its text was claimed or its hour was over; for a key that
	// was imported by its hash, when that was accepted.
	//
	// +optional
	ClaimedAt *metav1.Time `json:"claimedAt,omitempty"`

	// restartedAt is when the workloads of secret.restart were rolled for the version.
	//
	// +optional
	RestartedAt *metav1.Time `json:"restartedAt,omitempty"`

	// notifiedAt is when the objects of secret.notify were notified of the version.
	//
	// +optional
	NotifiedAt *metav1.Time `json:"notifiedAt,omitempty"`

	// replacedAt is when its successor became available, and its overlap began.
	//
	// +optional
	ReplacedAt *metav1.Time `json:"replacedAt,omitempty"`

	// retiresAt is when the version's overlap with its successor ends.
	//
	// +optional
	RetiresAt *metav1.Time `json:"retiresAt,omitempty"`

	// expiresAt is when the version expires; absent where it never does.
	//
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// lastUsedAt is when a request was last allowed with the version, as far as validation
	// servers have reported. It is updated periodically.
	//
	// +optional
	LastUsedAt *metav1.Time `json:"lastUsedAt,omitempty"`
}

// HandledRotation is a request to rotate, or a rotation.trigger, that a version was delivered for.
type HandledRotation struct {
	// hash is the first half of the SHA-256 of the kind, '/' and the value, in hexadecimal.
	//
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{32}$`
	// +kubebuilder:validation:MinLength=32
	// +kubebuilder:validation:MaxLength=32
	// +required
	Hash string `json:"hash,omitempty"`

	// requestedAt is the time that a request names, or that of its handling if that is earlier; absent if it names none.
	//
	// +optional
	RequestedAt *metav1.Time `json:"requestedAt,omitempty"`
}
