package v1alpha1

// Names of what the manager publishes, so that validation servers trust the certificate of its sync port.
const (
	// TrustName is the name of the ConfigMaps with the authorities that issue the certificate.
	TrustName = "keyward-ca"
	// TrustKey is their key.
	TrustKey = "ca.crt"
	// LabelTrust on a Namespace asks for a ConfigMap in it if it is TrustPublish. One that allows sidecars has it anyway.
	LabelTrust = "keyward.dev/ca"
	// TrustPublish is the value of LabelTrust that asks for the ConfigMap.
	TrustPublish = "publish"
)
