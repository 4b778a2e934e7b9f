package v1alpha1

// Labels and annotations of the injection of sidecars. The annotations say what a sidecar does. They are read from the Pod,
// and where the Pod lacks one, from its Namespace.
const (
	// LabelInject on a Pod requests a sidecar. It counts when the Pod is created.
	LabelInject = "keyward.dev/inject"
	// InjectValidator is the value of LabelInject that requests a validation server in front of the content server.
	InjectValidator = "validator"
	// InjectDisabled is the value of LabelInject with which a Pod is left as it is.
	InjectDisabled = "disabled"

	// LabelInjection on a Namespace allows sidecars in it if it is InjectionEnabled.
	LabelInjection = "keyward.dev/injection"
	// InjectionEnabled is the value of LabelInjection that allows sidecars.
	InjectionEnabled = "enabled"

	// AnnotationInjectionRoles lets the manager create the Role that sidecars need if it is InjectionRolesAutomatic, both on
	// the Group and on the Namespace of the Group. It covers sidecars in that namespace.
	AnnotationInjectionRoles = "keyward.dev/injection-roles"
	// InjectionRolesAutomatic is the value of AnnotationInjectionRoles that allows it.
	InjectionRolesAutomatic = "automatic"

	// AnnotationGroup names the Group that a sidecar validates for: its name, or namespace/name.
	AnnotationGroup = "keyward.dev/group"
	// AnnotationUpstreamPort is the port of the content server: the name or number of a container's port. It may be left out
	// where the Pod declares only one.
	AnnotationUpstreamPort = "keyward.dev/upstream-port"
	// AnnotationUpstreamScheme is how the content server is spoken to: http, or h2c for HTTP/2 in cleartext.
	AnnotationUpstreamScheme = "keyward.dev/upstream-scheme"
	// AnnotationProxyPort is the number of the port on which the sidecar serves clients.
	AnnotationProxyPort = "keyward.dev/proxy-port"
	// AnnotationProject is the project of all requests; without it routes decide.
	AnnotationProject = "keyward.dev/project"
	// AnnotationOptions has further flags of the validation server, as name=value, separated by white space.
	AnnotationOptions = "keyward.dev/options"
	// AnnotationPrincipalSecret is the Secret with the keys with which the sidecar signs what the headers to the content server say.
	AnnotationPrincipalSecret = "keyward.dev/principal-secret"
	// AnnotationCPURequest and the following three are the resources of a sidecar.
	AnnotationCPURequest = "keyward.dev/cpu-request"
	// AnnotationCPULimit is not set by default: every content request waits for the sidecar.
	AnnotationCPULimit = "keyward.dev/cpu-limit"
	// AnnotationMemoryRequest is the memory that is reserved for the sidecar.
	AnnotationMemoryRequest = "keyward.dev/memory-request"
	// AnnotationMemoryLimit is the memory that the sidecar may have.
	AnnotationMemoryLimit = "keyward.dev/memory-limit"

	// AnnotationInjected is set on a Pod that has got its sidecar, and identifies the settings of it.
	AnnotationInjected = "keyward.dev/injected"
)
