package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Settings are what annotations say about a sidecar.
type Settings struct {
	// GroupNamespace and GroupName identify the Group that the sidecar validates for.
	GroupNamespace, GroupName string
	// UpstreamPort is the port of the content server, by its name or its number; "" is the only one that the Pod declares.
	UpstreamPort intstr.IntOrString
	// UpstreamScheme is http or h2c.
	UpstreamScheme string
	// ProxyPort is where the sidecar serves clients.
	ProxyPort int32
	// Project is that of all requests; "" where routes decide.
	Project string
	// Options are further flags of the validation server, each name=value.
	Options []string
	// PrincipalSecret is the Secret with the keys that sign principals; "" for none.
	PrincipalSecret string
	// Resources of the sidecar. CPULimit is zero for none.
	CPURequest, CPULimit, MemoryRequest, MemoryLimit resource.Quantity
}

// Bounds of annotations.
const (
	maxValue    = 1 << 10
	maxPort     = 65535
	maxUnknown  = 5
	maxPortName = 15
	maxOptions  = 64
	// maxShown is how many bytes of a value are repeated in a message.
	maxShown = 128
)

// Names are the annotations that say what a sidecar does.
var Names = []string{
	v1alpha1.AnnotationGroup, v1alpha1.AnnotationUpstreamPort, v1alpha1.AnnotationUpstreamScheme, v1alpha1.AnnotationProxyPort,
	v1alpha1.AnnotationProject, v1alpha1.AnnotationOptions, v1alpha1.AnnotationPrincipalSecret, v1alpha1.AnnotationCPURequest,
	v1alpha1.AnnotationCPULimit, v1alpha1.AnnotationMemoryRequest, v1alpha1.AnnotationMemoryLimit,
}

// others are annotations of Keyward on Pods that say nothing about a sidecar.
var others = []string{v1alpha1.AnnotationInjected}

// reader reads annotations and collects what is wrong with them.
type reader struct {
	pod, defaults map[string]string
	errs          field.ErrorList
}

// Parse reads the annotations of a Pod in the namespace, and the defaults, which are the annotations of the namespace. It returns
// all problems at once. Problems of a default name the annotation, too: a Pod can replace it.
func Parse(annotations map[string]string, namespace string, defaults map[string]string) (*Settings, field.ErrorList) {
	r := &reader{pod: annotations, defaults: defaults}
	r.refuseUnknown()
	s := &Settings{
		UpstreamPort:    r.upstreamPort(),
		UpstreamScheme:  r.oneOf(v1alpha1.AnnotationUpstreamScheme, "http", "h2c"),
		ProxyPort:       r.proxyPort(),
		Project:         r.project(),
		Options:         r.options(),
		PrincipalSecret: r.principalSecret(),
		CPURequest:      r.quantity(v1alpha1.AnnotationCPURequest, "20m", "0", "256"),
		CPULimit:        r.quantity(v1alpha1.AnnotationCPULimit, "0", "0", "256"),
		MemoryRequest:   r.quantity(v1alpha1.AnnotationMemoryRequest, "32Mi", "0", "64Gi"),
		MemoryLimit:     r.quantity(v1alpha1.AnnotationMemoryLimit, "256Mi", "64Mi", "64Gi"),
	}
	s.GroupNamespace, s.GroupName = r.group(namespace)
	r.atMost(v1alpha1.AnnotationMemoryRequest, s.MemoryRequest, v1alpha1.AnnotationMemoryLimit, s.MemoryLimit)
	if !s.CPULimit.IsZero() {
		r.atMost(v1alpha1.AnnotationCPURequest, s.CPURequest, v1alpha1.AnnotationCPULimit, s.CPULimit)
	}
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return s, nil
}

// refuseUnknown refuses annotations of the Pod that look like Keyward's and are not: a setting that is misspelt would be missing.
func (r *reader) refuseUnknown() {
	var unknown []string
	for name := range r.pod {
		if strings.HasPrefix(name, v1alpha1.GroupVersion.Group+"/") && !slices.Contains(Names, name) && !slices.Contains(others, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown[:min(len(unknown), maxUnknown)] {
		r.errs = append(r.errs, field.NotSupported(field.NewPath("metadata", "annotations"), shown(name), Names))
	}
}

// get returns the value of an annotation, or "" if there is none or it is too long.
func (r *reader) get(name string) string {
	value, has := r.pod[name]
	if !has {
		value = r.defaults[name]
	}
	if value = strings.TrimSpace(value); len(value) > maxValue {
		r.errs = append(r.errs, field.TooLong(annotationPath(name), "", maxValue))
		return ""
	}
	return value
}

// tooLong reports whether get has returned nothing because there was too much.
func (r *reader) tooLong(name string) bool {
	return slices.ContainsFunc(r.errs, func(e *field.Error) bool {
		return e.Type == field.ErrorTypeTooLong && e.Field == annotationPath(name).String()
	})
}

func (r *reader) invalid(name, value, detail string) {
	r.errs = append(r.errs, field.Invalid(annotationPath(name), shown(value), detail))
}

func (r *reader) group(namespace string) (string, string) {
	value := r.get(v1alpha1.AnnotationGroup)
	if value == "" {
		if !r.tooLong(v1alpha1.AnnotationGroup) {
			r.errs = append(r.errs, field.Required(annotationPath(v1alpha1.AnnotationGroup),
				"write the name of the Group whose keys are accepted, such as acme, or tenants/acme if it is in another namespace; "+
					"an annotation of the Namespace is the default of its Pods"))
		}
		return "", ""
	}
	name := value
	if before, after, found := strings.Cut(value, "/"); found {
		namespace, name = before, after
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		r.invalid(v1alpha1.AnnotationGroup, value, "write the name of a Group, such as acme, or namespace/name, such as tenants/acme")
	}
	return namespace, name
}

func (r *reader) upstreamPort() intstr.IntOrString {
	value := r.get(v1alpha1.AnnotationUpstreamPort)
	if number, ok := portNumber(value); ok {
		return intstr.FromInt32(number)
	}
	if value != "" && (len(value) > maxPortName || len(validation.IsValidPortName(value)) > 0) {
		r.invalid(v1alpha1.AnnotationUpstreamPort, value, "write the name or the number of the port that the content server listens on, "+
			"such as http or 9000")
	}
	return intstr.FromString(value)
}

func (r *reader) proxyPort() int32 {
	value := r.get(v1alpha1.AnnotationProxyPort)
	if value == "" {
		return DefaultProxyPort
	}
	number, ok := portNumber(value)
	if !ok || number < 1024 || number == httpPort || number == grpcPort || number == AdminPort {
		r.invalid(v1alpha1.AnnotationProxyPort, value, fmt.Sprintf(
			"write a number from 1024 to %d, such as 8080; not %d, %d or %d, which the sidecar uses for itself",
			maxPort, httpPort, grpcPort, AdminPort))
	}
	return number
}

func portNumber(value string) (int32, bool) {
	number, err := strconv.ParseUint(value, 10, 16)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != value {
		return 0, false
	}
	return int32(number), true
}

func (r *reader) project() string {
	value := r.get(v1alpha1.AnnotationProject)
	if value != "" && len(validation.IsDNS1123Label(value)) > 0 {
		r.invalid(v1alpha1.AnnotationProject, value, "write the name of a project of the Group, such as marketing")
	}
	return value
}

// oneOf returns the value of an annotation that has one of these; the first is the default.
func (r *reader) oneOf(name string, values ...string) string {
	value := r.get(name)
	if value == "" {
		return values[0]
	}
	if !slices.Contains(values, value) {
		r.errs = append(r.errs, field.NotSupported(annotationPath(name), shown(value), values))
	}
	return value
}

// quantity returns an amount between two bounds.
func (r *reader) quantity(name, byDefault, least, most string) resource.Quantity {
	value := r.get(name)
	if value == "" {
		return resource.MustParse(byDefault)
	}
	// Longer ones are numbers with many digits, which are expensive to parse.
	const maxQuantity = 32
	amount, err := resource.Quantity{}, error(nil)
	if len(value) <= maxQuantity {
		amount, err = resource.ParseQuantity(value)
	}
	if len(value) > maxQuantity || err != nil || amount.Cmp(resource.MustParse(least)) < 0 || amount.Cmp(resource.MustParse(most)) > 0 {
		r.invalid(name, value, fmt.Sprintf("write an amount from %s to %s", least, most))
		return resource.MustParse(byDefault)
	}
	return amount
}

func (r *reader) atMost(requestName string, request resource.Quantity, limitName string, limit resource.Quantity) {
	if request.Cmp(limit) > 0 {
		r.invalid(requestName, request.String(), fmt.Sprintf("it is more than %s, which is %s", limitName, limit.String()))
	}
}

// fingerprint identifies the settings.
func (s *Settings) fingerprint() string {
	text := fmt.Appendf(nil, "%q %q %q %q %d %q %q %q %q %q %q", s.GroupNamespace, s.GroupName, s.UpstreamPort.String(),
		s.UpstreamScheme, s.ProxyPort, s.Project, s.Options, s.CPURequest.String(), s.CPULimit.String(), s.MemoryRequest.String(),
		s.MemoryLimit.String())
	if s.PrincipalSecret != "" { // Pods without it keep the fingerprint of earlier versions
		text = fmt.Appendf(text, " %q", s.PrincipalSecret)
	}
	sum := sha256.Sum256(text)
	const length = 8
	return hex.EncodeToString(sum[:length])
}

// shown shortens a text that is repeated in a message.
func shown(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
