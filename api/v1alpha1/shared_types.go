package v1alpha1

// Duration is a length of time in Prometheus syntax: one or more numbers with a unit,
// largest unit first, such as 90d, 24h, 15m or 1d12h. Units: y (365 days), w, d, h, m, s.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,2}y)?([0-9]{1,3}w)?([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$')",message="write whole numbers with units, largest first, such as 90d, 24h, 15m or 1d12h"
type Duration string

// GroupReference names a Group.
type GroupReference struct {
	// name of the Group: a DNS name of at most 253 characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +required
	Name string `json:"name,omitempty"`

	// namespace of the Group; default: the namespace of the referring object. A reference from
	// another namespace works only if the Group allows it: with allowedNamespaces for ApiKeys,
	// with allowlistsFrom for DomainAllowlists.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// ProjectName is the name of a project within its Group. It appears in logs and headers.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
type ProjectName string

// PermissionName is `read`, the permission to GET and HEAD, or a capability of the Group.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
type PermissionName string

const (
	// DefaultProject is the only project of a Group that declares none; it owns every request.
	DefaultProject ProjectName = "default"
	// PermissionRead allows GET and HEAD.
	PermissionRead PermissionName = "read"
)

// RejectingServer is a validation server that cannot use what it was sent.
type RejectingServer struct {
	// server is the name of the server.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Server string `json:"server,omitempty"`

	// reason is what the server says about it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +required
	Reason string `json:"reason,omitempty"`
}

// Enforcement is how far the latest change is in force on the validation servers.
type Enforcement struct {
	// servers is the number of validation servers that the change is for.
	//
	// +kubebuilder:validation:Minimum=0
	// +required
	Servers *int32 `json:"servers,omitempty"`

	// acknowledged is the number of those that have it in force.
	//
	// +kubebuilder:validation:Minimum=0
	// +required
	Acknowledged *int32 `json:"acknowledged,omitempty"`

	// latency is the time from when the manager saw the change to the last acknowledgement,
	// such as 3.4ms; absent while an acknowledgement is missing, and where there was no server.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Latency string `json:"latency,omitempty"`

	// waitingFor names servers that have not acknowledged, at most 10 of them. A server
	// that disconnected a moment ago is waited for like a connected one.
	//
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	// +optional
	WaitingFor []string `json:"waitingFor,omitempty"`

	// disconnected names servers, at most 10, whose connection ended before they acknowledged.
	// They decide by the state that they had until they reconnect.
	//
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	// +optional
	Disconnected []string `json:"disconnected,omitempty"`

	// rejecting names connected servers, at most 10, that have received the change and cannot use it,
	// usually because they are of an earlier release. They refuse what it allows.
	//
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	Rejecting []RejectingServer `json:"rejecting,omitempty"`

	// record identifies the published state that these figures are about.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Record string `json:"record,omitempty"`
}
