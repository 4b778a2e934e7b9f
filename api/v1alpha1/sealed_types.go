package v1alpha1

// SealedContext is a credential that only content servers can read.
type SealedContext struct {
	// name of the value, at most 63 letters and digits.
	//
	// +kubebuilder:validation:MinLength=1
	// +required
	Name ContextName `json:"name,omitempty"`

	// secretKeyRef names an entry of a Secret in the namespace of the Group, of at most 1024 bytes. The user who
	// writes it into the Group needs the right to get that Secret.
	//
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// SealedValue is a value of a sealed context as it is sent.
type SealedValue struct {
	// name of the value.
	//
	// +kubebuilder:validation:MinLength=1
	// +required
	Name ContextName `json:"name,omitempty"`

	// sealed is the value, sealed with AES-256-GCM: v1, the id of the key, and the data, with dots between them.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +required
	Sealed string `json:"sealed,omitempty"`
}
