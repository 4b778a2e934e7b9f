// Package cluster is the Desk of the console: it reads and changes what one person may, by requests to the API server with the person's
// credential, and with no cache. What it reads has bounds: pages of lists, objects that are looked at for a page, and bytes of an answer.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/web"
)

// fieldOwner is the name under which the console's edits are recorded: logs of Groups say by it how a change was made, and no GitOps tool takes over
// what it has set.
const fieldOwner = client.FieldOwner("keyward-console")

const (
	// timeout is how long a request to the API server takes at most.
	timeout = 10 * time.Second
	// qps and burst bound how many requests a person has done per second.
	qps, burst = 50, 100
	// maxAnswer is how many bytes an answer of the API server has at most: a page of the largest ApiKeys that people make. What is larger is an error.
	maxAnswer = 32 << 20
)

// Options are what desks of all people have in common.
type Options struct {
	// Namespaces are those in which Groups are looked for, for people who may not list them in the whole cluster; at most 64 are. Such people can
	// also name one.
	Namespaces []string
	// ManagerNamespace is that of the manager, which has the Installation; empty: DefaultManagerNamespace.
	ManagerNamespace string
	// Now returns the time.
	Now func() time.Time
}

// Desk is that of one person.
type Desk struct {
	client     client.Client
	config     *rest.Config // of the client
	namespaces []string
	manager    string // its namespace
	now        func() time.Time
}

// DefaultManagerNamespace is the namespace that Keyward is installed in by its manifests.
const DefaultManagerNamespace = "keyward-system"

// maxNamespaces is how many configured namespaces are looked at.
const maxNamespaces = 64

// New returns the desk of a person. It sends no request.
func New(of *person.Person, options Options) (*Desk, error) {
	config := of.Config()
	config.QPS, config.Burst, config.RateLimiter, config.Timeout, config.UserAgent = qps, burst, nil, timeout, "keyward-console"
	config.WarningHandler, config.WarningHandlerWithContext = nil, toPerson{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next} })
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("prepare requests to the API server: %w", err)
	}
	return &Desk{client: c, config: config, namespaces: options.Namespaces[:min(len(options.Namespaces), maxNamespaces)],
		manager: cmp.Or(options.ManagerNamespace, DefaultManagerNamespace), now: options.Now}, nil
}

// toPerson has the person read what the API server warns of.
type toPerson struct{}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext. Other codes than 299 are of proxies.
func (toPerson) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if code == warningOfAPI {
		web.Warn(ctx, text)
	}
}

// warningOfAPI is the code of warnings of the API server (RFC 7234, 5.5.7).
const warningOfAPI = 299

var (
	scheme = newScheme()
	// mapper knows the kinds that desks use, so that nobody has to ask for them.
	mapper = newMapper()
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authorizationv1.AddToScheme, v1alpha1.AddToScheme} {
		utilruntime.Must(add(s))
	}
	return s
}

func newMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	add := func(in schema.GroupVersion, kind, resource string, scope meta.RESTScope) {
		m.AddSpecific(in.WithKind(kind), in.WithResource(resource), in.WithResource(strings.ToLower(kind)), scope)
	}
	for kind, resource := range map[string]string{
		"Group": "groups", "ApiKey": "apikeys", "DomainAllowlist": "domainallowlists", "GroupUsage": "groupusages", "GroupLog": "grouplogs",
		"KeyRequestReview": "keyrequestreviews", "KeyRequest": "keyrequests", "Installation": "installations",
	} {
		add(v1alpha1.GroupVersion, kind, resource, meta.RESTScopeNamespace)
	}
	add(corev1.SchemeGroupVersion, "Secret", "secrets", meta.RESTScopeNamespace)
	add(authorizationv1.SchemeGroupVersion, "SelfSubjectAccessReview", "selfsubjectaccessreviews", meta.RESTScopeRoot)
	return m
}

// bounded bounds the answers of the API server.
type bounded struct{ http.RoundTripper }

var errTooLarge = errors.New("the answer of the API server is too large")

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.ContentLength > maxAnswer {
		_ = response.Body.Close()
		return nil, errTooLarge
	}
	response.Body = &boundedBody{response.Body, maxAnswer}
	return response, nil
}

// WrappedRoundTripper implements net.RoundTripperWrapper, by which client-go finds the transport below.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.RoundTripper }

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(into []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(into)) > b.left {
		into = into[:b.left]
	}
	n, err := b.ReadCloser.Read(into)
	b.left -= int64(n)
	return n, err
}
