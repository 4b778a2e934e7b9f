package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// InstallationName is the name of the one Installation, in the namespace of the manager.
	InstallationName = "keyward"
	// MaxInstallationServers is how many validation servers an Installation lists at most.
	MaxInstallationServers = 200
	// MaxInstallationTiers is how many tiers it lists at most.
	MaxInstallationTiers = 64
)

// Installation is how Keyward itself is: which validation servers are connected and current, which sinks deliver, and which tiers there
// are. The leader writes the one that is named keyward, in the namespace of the manager, and nobody else has to create it.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false";"kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=kwi,categories=keyward
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Servers",type=integer,JSONPath=`.status.validators.connected`
// +kubebuilder:printcolumn:name="Disconnected",type=integer,JSONPath=`.status.validators.disconnected`
// +kubebuilder:printcolumn:name="Behind",type=integer,JSONPath=`.status.validators.behind`
// +kubebuilder:printcolumn:name="Rejecting",type=integer,JSONPath=`.status.validators.rejecting`
// +kubebuilder:printcolumn:name="Leader",type=string,JSONPath=`.status.leader`,priority=1
// +kubebuilder:printcolumn:name="Updated",type=date,JSONPath=`.status.updatedAt`
type Installation struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status is how Keyward is.
	//
	// +optional
	Status InstallationStatus `json:"status,omitzero"`
}

// InstallationList is a list of Installations.
//
// +kubebuilder:object:root=true
type InstallationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Installation `json:"items"`
}

// InstallationStatus is how Keyward is. The leader looks every 30 seconds, and writes if something has changed.
type InstallationStatus struct {
	// version of the leader, such as v0.1.0.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Version string `json:"version,omitempty"`

	// leader is the Pod of the manager that leads.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Leader string `json:"leader,omitempty"`

	// updatedAt is when this status was written: when something changed, and at least every 10 minutes while a manager leads.
	//
	// +optional
	UpdatedAt *metav1.Time `json:"updatedAt,omitempty"`

	// tiers are those of the manager's configuration, in its order; at most 64.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Tiers []InstallationTier `json:"tiers,omitempty"`

	// sinks are where the logs of Groups and usage for invoices are sent, by name; at most 32.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Sinks []InstallationSink `json:"sinks,omitempty"`

	// validators are the validation servers.
	//
	// +optional
	Validators InstallationValidators `json:"validators,omitzero"`

	// conditions are Ready, SinksDelivering and ValidatorsCurrent; at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InstallationTier is a tier that Groups may name. A limit that is absent is unlimited.
type InstallationTier struct {
	// name of the tier.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name,omitempty"`

	// default reports whether Groups that name no tier have this one.
	//
	// +optional
	Default *bool `json:"default,omitempty"`

	// keys is the greatest number of ApiKeys of a Group.
	//
	// +optional
	Keys *int32 `json:"keys,omitempty"`

	// requestsPerMonth is how many requests are allowed in a period.
	//
	// +optional
	RequestsPerMonth *int64 `json:"requestsPerMonth,omitempty"`

	// bytesPerMonth is how many bytes of response bodies are allowed in a period.
	//
	// +optional
	BytesPerMonth *resource.Quantity `json:"bytesPerMonth,omitempty"`

	// requestsPerSecond is how many requests are allowed per second in the long run.
	//
	// +optional
	RequestsPerSecond *int32 `json:"requestsPerSecond,omitempty"`

	// overage is Meter if requests beyond a quota are allowed and counted separately; otherwise they are refused.
	//
	// +optional
	Overage Overage `json:"overage,omitempty"`

	// auditLog reports whether the tier includes an audit log.
	//
	// +optional
	AuditLog *bool `json:"auditLog,omitempty"`
}

// SinkContent is what a sink is sent.
//
// +kubebuilder:validation:Enum=Events;Usage
type SinkContent string

const (
	// SinkEvents are the events of the logs of Groups: --sinks-file.
	SinkEvents SinkContent = "Events"
	// SinkUsage is usage for invoices: --billing-file.
	SinkUsage SinkContent = "Usage"
)

// InstallationSink is where events are sent. It has no part of the URL, which may contain a secret.
type InstallationSink struct {
	// name of the sink in the file.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +required
	Name string `json:"name,omitempty"`

	// type of the sink, such as Webhook.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +required
	Type string `json:"type,omitempty"`

	// sends is Events, for the logs of Groups, or Usage, for invoices.
	//
	// +required
	Sends SinkContent `json:"sends,omitempty"`

	// lastDeliveredAt is when the receiver last took events since the leader began; absent if it has not. It is written at most every 10
	// minutes while nothing else changes.
	//
	// +optional
	LastDeliveredAt *metav1.Time `json:"lastDeliveredAt,omitempty"`

	// waitingSince is the instant of the oldest event that the receiver does not have; absent if it has all. It is written like
	// lastDeliveredAt.
	//
	// +optional
	WaitingSince *metav1.Time `json:"waitingSince,omitempty"`

	// conditions of the sink: Ready, whose message says what failed and what to do; at most 4.
	//
	// +kubebuilder:validation:MaxItems=4
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InstallationValidators are the validation servers that the leader knows. A server that reconnects within a minute counts as connected all
// the time.
type InstallationValidators struct {
	// connected is how many are connected.
	//
	// +optional
	Connected *int32 `json:"connected,omitempty"`

	// disconnected is how many were disconnected without a goodbye, and may go on deciding by what they had.
	//
	// +optional
	Disconnected *int32 `json:"disconnected,omitempty"`

	// behind is how many of the connected ones have lacked an update for more than 10 seconds.
	//
	// +optional
	Behind *int32 `json:"behind,omitempty"`

	// rejecting is how many of the connected ones cannot use some record.
	//
	// +optional
	Rejecting *int32 `json:"rejecting,omitempty"`

	// servers are those with trouble first: those that reject records, that are behind, that are disconnected, and others by name. At
	// most 200, or fewer if their names and reasons are very long.
	//
	// +kubebuilder:validation:MaxItems=200
	// +listType=atomic
	// +optional
	Servers []InstallationServer `json:"servers,omitempty"`
}

// InstallationServer is a validation server.
type InstallationServer struct {
	// name that the server gives itself, which usually is that of its Pod.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// identity is who the server has proved to be: namespace/serviceaccount, and its Pod where that is known.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Identity string `json:"identity,omitempty"`

	// version that the server says it has, which nothing depends on; absent if it says none.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Version string `json:"version,omitempty"`

	// connectedSince is since when the server is connected to the leader; absent if it is not.
	//
	// +optional
	ConnectedSince *metav1.Time `json:"connectedSince,omitempty"`

	// disconnectedSince is since when it is not.
	//
	// +optional
	DisconnectedSince *metav1.Time `json:"disconnectedSince,omitempty"`

	// groups is how many Groups the server has, or is being sent; absent if it is disconnected.
	//
	// +optional
	Groups *int32 `json:"groups,omitempty"`

	// behindSince is since when the server lacks an update; absent if that is for less than 10 seconds.
	//
	// +optional
	BehindSince *metav1.Time `json:"behindSince,omitempty"`

	// rejected is how many records the server cannot use, at least.
	//
	// +optional
	Rejected *int32 `json:"rejected,omitempty"`

	// rejectionReason is why it cannot use the first of them.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	RejectionReason string `json:"rejectionReason,omitempty"`
}
