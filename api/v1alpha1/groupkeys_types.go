package v1alpha1

// KeyPolicy restricts the keys of a Group.
//
// +kubebuilder:validation:XValidation:rule="!has(self.suspendUnusedFor) || int(self.suspendUnusedFor.split('d')[0]) >= 7",message="write at least 7d: keys that are used once a week are in use",fieldPath=".suspendUnusedFor"
// +kubebuilder:validation:XValidation:rule="!has(self.suspendUnusedFor) || !has(self.warnUnusedFor) || int(self.suspendUnusedFor.split('d')[0]) > int(self.warnUnusedFor.split('d')[0])",message="write at least a day more than warnUnusedFor, so that there is time to act",fieldPath=".suspendUnusedFor"
type KeyPolicy struct {
	// prefix is the part of the key text before the underscore, 2 to 16 lower-case letters and digits;
	// default: kw. Scanners for leaked secrets find keys by it.
	//
	// +kubebuilder:default=kw
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9]*$`
	// +optional
	Prefix string `json:"prefix,omitempty"`

	// defaultLifetime is the lifetime of keys that do not declare when they expire; default: 90d, or maxLifetime
	// where that is shorter.
	//
	// +optional
	DefaultLifetime Duration `json:"defaultLifetime,omitempty"`

	// maxLifetime is the longest lifetime that a key may have; default: unbounded.
	//
	// +optional
	MaxLifetime Duration `json:"maxLifetime,omitempty"`

	// allowNever determines whether keys may be declared that never expire; default: false.
	//
	// +kubebuilder:default=false
	// +optional
	AllowNever *bool `json:"allowNever,omitempty"`

	// requireAddresses determines whether keys of the Group must declare from which addresses they are accepted;
	// default: false. A key that does not is accepted from none.
	//
	// +kubebuilder:default=false
	// +optional
	RequireAddresses *bool `json:"requireAddresses,omitempty"`

	// acceptIn lists where else than in a header a request may have its key; default: nowhere. For what cannot set
	// headers: Query is a parameter of the URL, as of iframes and images, which validation servers name with
	// --key-query-parameter; WebSocketProtocol is the subprotocol keyward.key.<key>. URLs end up in the histories
	// of browsers and in logs. Requests with a key elsewhere are denied with key_location_denied.
	//
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	// +optional
	AcceptIn []KeyLocation `json:"acceptIn,omitempty"`

	// keysMaySet lists the names of context values that keys may set for themselves with spec.context, in place of the
	// Group's or beside them, at most 32 names together with those of the Group's context; default: none. Whoever may write
	// a key of the Group decides about these values, so the list needs the verb manage, as the context does.
	//
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, self.all(j, k == j || k.lowerAscii() != j.lowerAscii()))",message="two names differ only in case and would become the same HTTP header; remove one"
	// +listType=set
	// +optional
	KeysMaySet []ContextName `json:"keysMaySet,omitempty"`

	// onLeak is what happens to a key when it is reported that its text was found in public, beyond its condition
	// Leaked and an event: Notify (default) is nothing, Suspend suspends it, Rotate replaces it with an overlap of
	// at most an hour, Revoke revokes it for good.
	//
	// +kubebuilder:default=Notify
	// +optional
	OnLeak LeakResponse `json:"onLeak,omitempty"`

	// warnUnusedFor is after how many days without a request a key gets the condition Unused and a notice, 1d to 999d; default:
	// the day before suspendUnusedFor, or never without it. Days count from when the key was accepted or used last.
	//
	// +optional
	WarnUnusedFor Days `json:"warnUnusedFor,omitempty"`

	// suspendUnusedFor is after how many days without a request a key is suspended, 7d to 999d; default: never. A key
	// has had the condition Unused for a day before, and every validation server has reported. Resume it by spec.suspended; it is then
	// left alone for as many days.
	//
	// +optional
	SuspendUnusedFor Days `json:"suspendUnusedFor,omitempty"`

	// requests determines whether keys of the Group can be requested with KeyRequests, from namespaces that allowedNamespaces admits:
	// Off (default), Manual, where users with the verb approve on the Group decide, or Automatic, where what the key policy admits is
	// approved and everything else is refused. With Off, nothing more is created, and keys that exist go on.
	//
	// +kubebuilder:default=Off
	// +optional
	Requests RequestMode `json:"requests,omitempty"`
}

// KeyLocation is a place in a request, other than a header, that may have a key.
//
// +kubebuilder:validation:Enum=Query;WebSocketProtocol
type KeyLocation string

// The locations.
const (
	KeyInQuery             KeyLocation = "Query"
	KeyInWebSocketProtocol KeyLocation = "WebSocketProtocol"
)

// DefaultKey is an ApiKey that is created with a Group, for all projects that the Group has
// then, and deleted with it. Its owner may edit everything else about it, also later.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.name) || has(self.name) && self.name == oldSelf.name",message="the name of the default key cannot change; disable it and create an ApiKey of your own",fieldPath=".name"
type DefaultKey struct {
	// enabled determines whether the ApiKey is created, and created again after it is deleted; default: false.
	// An ApiKey that exists stays as it is when this is disabled.
	//
	// +kubebuilder:default=false
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// name of the ApiKey; default: the name of the Group and "-default".
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	Name string `json:"name,omitempty"`
}
