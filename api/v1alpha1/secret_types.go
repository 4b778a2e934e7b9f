package v1alpha1

// SecretSpec is where a key is delivered.
//
// +kubebuilder:validation:XValidation:rule="(has(self.reveal) ? self.reveal : 'Mounted') == (has(oldSelf.reveal) ? oldSelf.reveal : 'Mounted')",message="how a key is revealed cannot change; create a new ApiKey",fieldPath=".reveal"
type SecretSpec struct {
	// name of the Secret; default: the name of the ApiKey; immutable. A Secret of that name
	// that does not belong to the ApiKey is never changed.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	Name string `json:"name,omitempty"`

	// reveal is how long the Secret holds the key text: Mounted (default), as long as the key
	// lives; or Once, until somebody has claimed it, at most an hour. Immutable.
	//
	// +kubebuilder:default=Mounted
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="how a key is revealed cannot change; create a new ApiKey"
	// +optional
	Reveal Reveal `json:"reveal,omitempty"`

	// restart names workloads, at most 16, that are rolled when a new version replaces an
	// earlier one: those that read the Secret as environment variables. The manager needs
	// the permission to patch them, which it does not have by default, and so does the user who
	// adds one here.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Restart []Workload `json:"restart,omitempty"`

	// template shapes the Secret.
	//
	// +kubebuilder:default={}
	// +optional
	Template SecretTemplate `json:"template,omitzero"`
}

// Reveal is how long a Secret holds the key text.
//
// +kubebuilder:validation:Enum=Mounted;Once
type Reveal string

const (
	// RevealMounted keeps the text in the Secret for as long as the key lives.
	RevealMounted Reveal = "Mounted"
	// RevealOnce keeps the text in the Secret until it is claimed, at most an hour; then
	// only digest and preview remain.
	RevealOnce Reveal = "Once"
)

// WorkloadKind is a kind of apps/v1 that has a pod template.
//
// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
type WorkloadKind string

// Workload names a workload in the namespace of the ApiKey.
type Workload struct {
	// kind is Deployment, StatefulSet or DaemonSet.
	//
	// +required
	Kind WorkloadKind `json:"kind,omitempty"`

	// name of the workload: a DNS name of at most 253 characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +required
	Name string `json:"name,omitempty"`
}

// SecretKeyAPIKey is the key of the Secret's data that holds the key text.
const SecretKeyAPIKey = "api-key"

// SecretTemplate shapes a Secret.
type SecretTemplate struct {
	// type of the Secret; default Opaque; immutable, as on Secrets. A user who sets another
	// type needs the right to create Secrets.
	//
	// +kubebuilder:default=Opaque
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the type of a Secret cannot change; create a new ApiKey"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|helm[.]sh)/') || self == 'kubernetes.io/basic-auth'",message="this type has a meaning to Kubernetes or Helm that a key cannot have; use Opaque or a type of your own"
	// +optional
	Type string `json:"type,omitempty"`

	// labels to set on the Secret, at most 32. Those of keyward.dev are reserved for the operator.
	// A user who adds one needs the right to create Secrets.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('keyward.dev/') && k != 'app.kubernetes.io/managed-by')",message="labels of keyward.dev and app.kubernetes.io/managed-by are set by the operator"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="names must be qualified Kubernetes label names"
	// +optional
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations to set on the Secret, at most 32, with at most 49152 characters in total. Those
	// of keyward.dev are reserved for the operator. A user who adds one needs the right to create
	// Secrets.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(self[k])).sum() <= 49152",message="the annotations have at most 49152 characters together; shorten them"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('keyward.dev/'))",message="annotations of keyward.dev are set by the operator"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="names must be qualified Kubernetes annotation names"
	// +optional
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// data are additional entries, at most 16, with at most 65536 characters in total, beside
	// api-key. Values are Go templates over .Key, .KeyID, .Name, .Namespace, .Group, .Projects and .ExpiresAt,
	// with if, else, and the functions b64enc, quote (a JSON string) and urlquery, at most 3 in a
	// pipeline and 16 in a template; for instance "ACME_KEY={{ .Key }}".
	//
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(self[k])).sum() <= 65536",message="the templates have at most 65536 characters together; shorten them"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$') && k != '.' && k != '..')",message="names are 1 to 253 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="!('api-key' in self)",message="api-key holds the key itself; choose another name"
	// +optional
	Data map[string]EntryTemplate `json:"data,omitempty"`
}

// LabelValue is the value of a Kubernetes label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`
type LabelValue string

// AnnotationValue is the value of a Kubernetes annotation, of at most 8192 characters.
//
// +kubebuilder:validation:MaxLength=8192
type AnnotationValue string

// EntryTemplate is the template of an entry of a Secret, of at most 16384 characters.
//
// +kubebuilder:validation:MaxLength=16384
type EntryTemplate string
