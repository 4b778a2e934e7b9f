package gatewaykits

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/envoy"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/test/fixture"
)

const projectAnnotation = envoy.ProjectAnnotation

// validator is a validation server that has received no keys.
func validator(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	return forwardauth.Register(mux, fixture.Authorizer(t, nil), nil).Prefixed(mux)
}

// answers: there is a profile at that path, whether or not the rest of the request is complete.
func answers(t *testing.T, path string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	validator(t).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	var problem httpapi.Problem
	if err := json.Unmarshal(recorder.Body.Bytes(), &problem); err != nil || problem.Code == "" {
		t.Errorf("nothing answers at %s: %d %s", path, recorder.Code, recorder.Body)
	}
}

// service is that of the validation servers in config/validator.
func service(t *testing.T) *corev1.Service {
	t.Helper()
	found := &corev1.Service{}
	if err := yaml.UnmarshalStrict(read(t, "config/validator/service.yaml"), found); err != nil {
		t.Fatal(err)
	}
	return found
}

func servicePort(t *testing.T, name string) uint32 {
	t.Helper()
	for _, port := range service(t).Spec.Ports {
		if port.Name == name {
			return uint32(port.Port)
		}
	}
	t.Fatalf("no port %s", name)
	return 0
}

// serviceExists: it has that name and namespace, with or without the cluster's domain.
func serviceExists(t *testing.T, name string) {
	t.Helper()
	want := service(t)
	if got := strings.TrimSuffix(name, ".svc.cluster.local"); got != want.Name+"."+want.Namespace {
		t.Errorf("no service %s", name)
	}
}

// decisive are the headers that decisions depend on.
func decisive() []string { return append([]string{"Sec-WebSocket-Protocol"}, httpapi.Decisive...) }

// removesAll: a list has what the decision says, so that a client cannot say it, the key, and all headers by which a content server
// uses another request than was decided on. Of those that begin alike, it has some.
func removesAll(t *testing.T, gateway string, list []string) {
	t.Helper()
	names := map[string]bool{}
	for _, name := range list {
		if name = strings.ToLower(name); names[name] {
			t.Errorf("%s: %s occurs twice", gateway, name)
		}
		names[strings.ToLower(name)] = true
	}
	for _, name := range []string{httpapi.HeaderGroup, httpapi.HeaderGroupName, httpapi.HeaderTier, httpapi.HeaderProject, httpapi.HeaderKeyID,
		httpapi.HeaderPermissions, httpapi.HeaderPrincipal, httpapi.HeaderAuthorization, httpapi.HeaderAPIKey,
		"Referer"} { // which is returned without a key
		if !names[strings.ToLower(name)] {
			t.Errorf("%s lets %s of a client pass", gateway, name)
		}
	}
	for _, name := range httpapi.UnusualNames() {
		if !strings.HasSuffix(name, "-") {
			if httpapi.IsOverride(name) && !names[name] {
				t.Errorf("%s lets %s pass", gateway, name)
			}
			continue
		}
		if httpapi.IsOverride(name+"anything") && !slices.ContainsFunc(list, func(n string) bool {
			return strings.HasPrefix(strings.ToLower(n), name)
		}) {
			t.Errorf("%s lets all pass that begin with %s", gateway, name)
		}
	}
}

// unmarshalMesh reads MeshConfig, and refuses fields that it does not have.
func unmarshalMesh(text []byte, mesh *meshv1alpha1.MeshConfig) error {
	return strictly.Unmarshal(text, mesh)
}
