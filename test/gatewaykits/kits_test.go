package gatewaykits

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	securityapi "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// root is the repository.
var root = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}()

// kits are the files of objects for a Kubernetes API.
var kits = []string{"envoy-gateway/keyward.yaml", "istio/keyward.yaml", "gateway-api/keyward.yaml", "cilium/keyward.yaml",
	"nginx-gateway-fabric/keyward.yaml", "kgateway/keyward.yaml", "ingress-nginx/keyward.yaml"}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// objects are those of a kit.
func objects(t *testing.T, kit string) []*unstructured.Unstructured {
	t.Helper()
	return decode(t, read(t, "config/gateways", kit))
}

func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var found []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) > 0 {
			found = append(found, object)
		}
	}
	return found
}

// all returns the objects of a kind in a kit, read strictly as the Go type that its gateway publishes.
func all[T any](t *testing.T, kit, kind string) []*T {
	t.Helper()
	var found []*T
	for _, object := range objects(t, kit) {
		if object.GetKind() != kind {
			continue
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		value := new(T)
		if err := yaml.UnmarshalStrict(text, value); err != nil {
			t.Fatalf("%s: %v", kit, err)
		}
		found = append(found, value)
	}
	if len(found) == 0 {
		t.Fatalf("no %s in %s", kind, kit)
	}
	return found
}

// TestEnvoyGateway: what is decided on is what is sent on, nothing passes without a decision, and Keyward sees all that it has
// to remove.
func TestEnvoyGateway(t *testing.T) {
	const kit = "envoy-gateway/keyward.yaml"
	for _, policy := range all[egv1a1.SecurityPolicy](t, kit, "SecurityPolicy") {
		auth := policy.Spec.ExtAuth
		if auth == nil || auth.GRPC == nil || auth.FailOpen == nil || *auth.FailOpen || auth.StatusOnError == nil || *auth.StatusOnError != 503 ||
			auth.RecomputeRoute == nil || *auth.RecomputeRoute || auth.IncludeRouteMetadata == nil || !*auth.IncludeRouteMetadata ||
			len(auth.HeadersToExtAuth) > 0 || auth.BodyToExtAuth != nil {
			t.Errorf("extAuth is %+v", auth)
		}
	}
	for _, policy := range all[egv1a1.ClientTrafficPolicy](t, kit, "ClientTrafficPolicy") {
		path, headers := policy.Spec.Path, policy.Spec.Headers
		if path == nil || path.EscapedSlashesAction == nil || *path.EscapedSlashesAction != egv1a1.KeepUnchangedAction ||
			path.DisableMergeSlashes == nil || !*path.DisableMergeSlashes {
			t.Errorf("paths are changed before the decision: %+v", path)
		}
		if headers == nil || headers.WithUnderscoresAction == nil || *headers.WithUnderscoresAction != egv1a1.WithUnderscoresActionDropHeader ||
			headers.EarlyRequestHeaders == nil || len(headers.EarlyRequestHeaders.RemoveOnMatch) != 1 ||
			headers.EarlyRequestHeaders.RemoveOnMatch[0].Value != "x-keyward-" {
			t.Errorf("headers are %+v", headers)
		}
	}
	for _, route := range all[gatewayv1.HTTPRoute](t, kit, "HTTPRoute") {
		if route.Annotations["gateway.envoyproxy.io/"+projectAnnotation] == "" {
			t.Errorf("%s names no project: %v", route.Name, route.Annotations)
		}
		changesNothing(t, kit, route)
	}
}

// TestIstio: the providers that policies name exist, and fail closed.
func TestIstio(t *testing.T) {
	mesh := &meshv1alpha1.MeshConfig{}
	text, err := yaml.YAMLToJSONStrict(read(t, "config/gateways/istio/meshconfig.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshalMesh(text, mesh); err != nil {
		t.Fatal(err)
	}
	if got := mesh.GetPathNormalization().GetNormalization(); got != meshv1alpha1.MeshConfig_ProxyPathNormalization_BASE {
		t.Errorf("paths are normalized by %v", got)
	}
	names := map[string]bool{}
	for _, provider := range mesh.GetExtensionProviders() {
		names[provider.GetName()] = true
		if grpc := provider.GetEnvoyExtAuthzGrpc(); grpc != nil {
			if grpc.GetFailOpen() || grpc.GetStatusOnError() != "503" || grpc.GetClearRouteCache() || grpc.GetPort() != servicePort(t, "grpc") {
				t.Errorf("%s: %v", provider.GetName(), grpc)
			}
			serviceExists(t, grpc.GetService())
			continue
		}
		http := provider.GetEnvoyExtAuthzHttp()
		if http == nil || http.GetFailOpen() || http.GetStatusOnError() != "503" || http.GetPort() != servicePort(t, "http") {
			t.Fatalf("%s: %v", provider.GetName(), http)
		}
		serviceExists(t, http.GetService())
		answers(t, http.GetPathPrefix()+"/any")
		for _, name := range []string{"x-keyward-*", "x-request-id", "referer"} { // the Referer without a key
			if !slices.Contains(http.GetHeadersToUpstreamOnAllow(), name) {
				t.Errorf("the content server does not get %s", name)
			}
		}
		for _, name := range []string{"x-request-id", "vary", "access-control-*", "ratelimit", "ratelimit-policy", "deprecation", "sunset"} {
			if !slices.Contains(http.GetHeadersToDownstreamOnAllow(), name) {
				t.Errorf("clients do not get %s with content", name)
			}
		}
		for _, name := range decisive() { // which are always sent: host, method, path, authorization
			if lower := strings.ToLower(name); lower != "authorization" && !slices.Contains(http.GetIncludeRequestHeadersInCheck(), lower) {
				t.Errorf("decisions depend on %s, which is not sent", lower)
			}
		}
	}
	custom := 0
	for _, policy := range all[securityv1.AuthorizationPolicy](t, "istio/keyward.yaml", "AuthorizationPolicy") {
		if policy.Spec.GetAction() != securityapi.AuthorizationPolicy_CUSTOM {
			continue
		}
		custom++
		if !names[policy.Spec.GetProvider().GetName()] {
			t.Errorf("%s: no provider %s", policy.Name, policy.Spec.GetProvider().GetName())
		}
		if rules := policy.Spec.GetRules(); len(rules) != 1 || len(rules[0].GetTo())+len(rules[0].GetFrom())+len(rules[0].GetWhen()) > 0 {
			t.Errorf("%s is not about every request: %v", policy.Name, rules)
		}
	}
	if custom != 3 { // sidecar, gateway, waypoint
		t.Errorf("%d policies", custom)
	}
}

// changesNothing: no filter changes what was decided on.
func changesNothing(t *testing.T, kit string, route *gatewayv1.HTTPRoute) {
	t.Helper()
	for _, rule := range route.Spec.Rules {
		for _, filter := range rule.Filters {
			switch filter.Type {
			case gatewayv1.HTTPRouteFilterExternalAuth:
			case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
				nobody := func(h gatewayv1.HTTPHeader) bool { return h.Name == "Forwarded" && h.Value == "for=unknown" } // RFC 7239, section 6
				if m := filter.RequestHeaderModifier; len(m.Add) > 0 || len(slices.DeleteFunc(slices.Clone(m.Set), nobody)) > 0 {
					t.Errorf("%s: the content server gets headers that nobody decided on: %v", kit, m)
				}
			default:
				t.Errorf("%s: a filter %s", kit, filter.Type)
			}
		}
	}
}

// TestExternalAuth: every rule has the filter, and a ReferenceGrant lets it refer to the validation servers.
func TestExternalAuth(t *testing.T) {
	for _, kit := range []string{"gateway-api/keyward.yaml", "cilium/keyward.yaml", "nginx-gateway-fabric/keyward.yaml"} {
		for _, route := range all[gatewayv1.HTTPRoute](t, kit, "HTTPRoute") {
			changesNothing(t, kit, route)
			for i, rule := range route.Spec.Rules {
				at := slices.IndexFunc(rule.Filters, func(f gatewayv1.HTTPRouteFilter) bool { return f.Type == gatewayv1.HTTPRouteFilterExternalAuth })
				if at != 0 {
					t.Fatalf("%s: rule %d is open, or its filter is not the first", kit, i)
				}
				auth := rule.Filters[at].ExternalAuth
				port := servicePort(t, "grpc")
				if auth.ExternalAuthProtocol == gatewayv1.HTTPRouteExternalAuthHTTPProtocol {
					port = servicePort(t, "http")
					answers(t, auth.HTTPAuthConfig.Path)
				} else if len(auth.GRPCAuthConfig.AllowedRequestHeaders) > 0 {
					t.Errorf("%s: Keyward does not see what has to be removed: %v", kit, auth.GRPCAuthConfig)
				}
				if auth.ForwardBody != nil || uint32(*auth.BackendRef.Port) != port {
					t.Errorf("%s: %+v", kit, auth)
				}
				serviceExists(t, string(auth.BackendRef.Name)+"."+string(*auth.BackendRef.Namespace))
			}
		}
	}
}

// TestGrants: an object that refers to a Service of another namespace is granted that.
func TestGrants(t *testing.T) {
	for kit, from := range map[string][2]string{
		"envoy-gateway/keyward.yaml": {"gateway.envoyproxy.io", "SecurityPolicy"}, "gateway-api/keyward.yaml": {gatewayv1.GroupName, "HTTPRoute"},
		"cilium/keyward.yaml": {gatewayv1.GroupName, "HTTPRoute"}, "nginx-gateway-fabric/keyward.yaml": {gatewayv1.GroupName, "HTTPRoute"},
		"kgateway/keyward.yaml": {"gateway.kgateway.dev", "GatewayExtension"},
	} {
		grants := all[gatewayv1beta1.ReferenceGrant](t, kit, "ReferenceGrant")
		if len(grants) != 1 || len(grants[0].Spec.From) != 1 || len(grants[0].Spec.To) != 1 {
			t.Fatalf("%s: %v", kit, grants)
		}
		given, to := grants[0].Spec.From[0], grants[0].Spec.To[0]
		serviceExists(t, string(*to.Name)+"."+grants[0].Namespace)
		if string(given.Group) != from[0] || string(given.Kind) != from[1] || to.Kind != "Service" {
			t.Errorf("%s: from %v to %v", kit, given, to)
		}
		found := false
		for _, object := range objects(t, kit) {
			found = found || object.GetKind() == from[1] && object.GetNamespace() == string(given.Namespace)
		}
		if !found {
			t.Errorf("%s: nothing of kind %s in %s", kit, from[1], given.Namespace)
		}
	}
}

// TestWhatNginxRemoves: nginx removes headers by their names only, so that the lists must have all of them.
func TestWhatNginxRemoves(t *testing.T) {
	route := all[gatewayv1.HTTPRoute](t, "nginx-gateway-fabric/keyward.yaml", "HTTPRoute")[0]
	var fabric []string
	for _, filter := range route.Spec.Rules[0].Filters {
		if filter.ExternalAuth != nil {
			fabric = append(fabric, filter.ExternalAuth.HTTPAuthConfig.AllowedResponseHeaders...)
			for _, name := range decisive() {
				if name != "Authorization" && !slices.Contains(filter.ExternalAuth.HTTPAuthConfig.AllowedRequestHeaders, name) {
					t.Errorf("decisions depend on %s, which is not sent", name)
				}
			}
		} else {
			fabric = append(fabric, filter.RequestHeaderModifier.Remove...)
			for _, header := range filter.RequestHeaderModifier.Set {
				fabric = append(fabric, string(header.Name))
			}
		}
	}
	ingress := all[networkingv1.Ingress](t, "ingress-nginx/keyward.yaml", "Ingress")[0].Annotations
	const prefix = "nginx.ingress.kubernetes.io/"
	for name, list := range map[string][]string{
		"NGINX Gateway Fabric": fabric, "ingress-nginx": strings.Split(ingress[prefix+"auth-response-headers"], ", "),
	} {
		removesAll(t, name, list)
	}
	for _, name := range []string{"auth-cache-key", "auth-signin", "rewrite-target", "app-root", "upstream-vhost", "configuration-snippet",
		"auth-snippet", "x-forwarded-prefix"} {
		if value, ok := ingress[prefix+name]; ok {
			t.Errorf("%s: %s", name, value)
		}
	}
	address, ok := strings.CutPrefix(ingress[prefix+"auth-url"], "http://")
	host, path, _ := strings.Cut(address, "/")
	service, _, _ := strings.Cut(host, ":")
	if !ok {
		t.Errorf("auth-url is %s", ingress[prefix+"auth-url"])
	}
	serviceExists(t, service)
	answers(t, "/"+path)
	settings := all[corev1.ConfigMap](t, "ingress-nginx/keyward.yaml", "ConfigMap")[0].Data
	if settings["enable-underscores-in-headers"] != "false" || settings["ignore-invalid-headers"] != "true" ||
		settings["allow-snippet-annotations"] != "false" {
		t.Errorf("the controller's settings are %v", settings)
	}
}

// TestAPISIX: there is no schema, so this is what the documentation of the plugin says.
func TestAPISIX(t *testing.T) {
	var file struct {
		Routes []struct {
			ID, URI         string
			EnableWebsocket bool `json:"enable_websocket"`
			Plugins         struct {
				ForwardAuth struct {
					URI              string
					RequestMethod    string   `json:"request_method"`
					RequestHeaders   []string `json:"request_headers"`
					UpstreamHeaders  []string `json:"upstream_headers"`
					ClientHeaders    []string `json:"client_headers"`
					Timeout          int
					AllowDegradation bool `json:"allow_degradation"`
					StatusOnError    int  `json:"status_on_error"`
				} `json:"forward-auth"`
			}
			Upstream map[string]any
		}
	}
	text := read(t, "config/gateways/apisix/apisix.yaml")
	if err := yaml.UnmarshalStrict(text, &file); err != nil { // so that there is no other plugin either
		t.Fatal(err)
	}
	if !bytes.HasSuffix(text, []byte("\n#END\n")) {
		t.Error("APISIX reads a file only if it ends in #END")
	}
	for _, route := range file.Routes {
		auth := route.Plugins.ForwardAuth
		if route.URI != "/*" || auth.AllowDegradation || auth.StatusOnError != 503 || auth.RequestMethod != "GET" {
			t.Errorf("%+v", route)
		}
		for _, name := range decisive() {
			if !slices.Contains(auth.RequestHeaders, name) {
				t.Errorf("decisions depend on %s, which is not sent", name)
			}
		}
		removesAll(t, "APISIX", auth.UpstreamHeaders)
		answers(t, auth.URI[strings.LastIndex(auth.URI, "/authz"):])
	}
}
