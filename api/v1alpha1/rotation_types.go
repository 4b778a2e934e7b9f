package v1alpha1

// Rotation is when a new version of a key is minted, and how long its predecessor stays.
type Rotation struct {
	// every is the age at which a version is replaced, at least 1m, such as 60d; default:
	// never. A version that expires earlier is replaced earlier, so that the overlap ends
	// before it expires. A missed rotation happens once, as soon as possible.
	//
	// +optional
	Every Duration `json:"every,omitempty"`

	// overlap is how long the earlier version stays accepted after the new one was delivered,
	// to the second, and never past its own expiry; default 24h. 0s ends it at once. An edit
	// also applies to versions that are already in their overlap.
	//
	// +kubebuilder:default="24h"
	// +optional
	Overlap Duration `json:"overlap,omitempty"`

	// retireWhenUnusedFor ends an overlap early: when the new version has been used, and no
	// validation server has seen the earlier one used for this long. All of them must be
	// connected. At least 10s; default: not early.
	//
	// +optional
	RetireWhenUnusedFor Duration `json:"retireWhenUnusedFor,omitempty"`

	// trigger rotates the key when it changes to a value that no version in status.versions had,
	// at most 256 characters; for instance the date on which somebody asked for it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Trigger string `json:"trigger,omitempty"`
}

// ImportSource is where an existing key is found.
type ImportSource struct {
	// secretKeyRef names an entry of a Secret in the namespace of the ApiKey: printable
	// ASCII without spaces, 20 to 512 characters, of which at least 8 differ. The user who
	// creates the ApiKey needs the right to get that Secret.
	//
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// SecretKeyReference names an entry of a Secret.
type SecretKeyReference struct {
	// name of the Secret: a DNS name of at most 253 characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +required
	Name string `json:"name,omitempty"`

	// key of the entry: at most 253 letters, digits, '-', '_' and '.'.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +required
	Key string `json:"key,omitempty"`
}
