package v1alpha1

// Rotation is when a new version of a key is minted, and how long its predecessor stays.
type Rotation struct {
	// every is the age at which a version is replaced, at least 1m, such as 60d; default:
	// never. A version that would expire earlier is replaced earlier, so that the overlap
	// fits in. A rotation that was missed happens once, as soon as it can.
	//
	// +optional
	Every Duration `json:"every,omitempty"`

	// overlap is how long the earlier version stays accepted after the new one was delivered,
	// to the second, and never past its own expiry; default 24h. 0s ends it at once. An edit
	// holds for versions that are in their overlap already.
	//
	// +kubebuilder:default="24h"
	// +optional
	Overlap Duration `json:"overlap,omitempty"`

	// retireWhenUnusedFor ends an overlap early: when the new version has been used, and the
	// earlier one has not been for this long on any validation server, all of which must be
	// connected; at least 10s; default: not early.
	//
	// +optional
	RetireWhenUnusedFor Duration `json:"retireWhenUnusedFor,omitempty"`

	// trigger rotates the key when it changes to another value, at most 256 characters; for
	// instance the date on which somebody asked for it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Trigger string `json:"trigger,omitempty"`
}

// ImportSource is where an existing key is found.
type ImportSource struct {
	// secretKeyRef names an entry of a Secret in the namespace of the ApiKey: printable
	// ASCII without spaces, 20 to 512 characters, of which at least 8 differ. Whoever creates
	// the ApiKey needs the right to get that Secret.
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
