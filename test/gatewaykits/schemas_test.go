package gatewaykits

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// strictly refuses unknown fields.
var strictly = protojson.UnmarshalOptions{}

// published are the schemas that gateways publish in their Go modules.
var published = map[string][]string{
	"sigs.k8s.io/gateway-api":       {"config/crd/experimental"},
	"github.com/envoyproxy/gateway": {"charts/gateway-helm/charts/crds/crds/generated"},
	"istio.io/api":                  {"kubernetes/customresourcedefinitions.gen.yaml"},
}

// unpublished are kinds whose schemas could not be had. docs/gateways.md and the kit say so.
var unpublished = []string{"gateway.kgateway.dev"}

var (
	api     client.Client
	skipped = os.Getenv("KUBEBUILDER_ASSETS") == ""
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if skipped {
		return m.Run()
	}
	environment := &envtest.Environment{ErrorIfCRDPathMissing: true}
	for module, paths := range published {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			fmt.Fprintln(os.Stderr, module, err)
			return 1
		}
		for _, path := range paths {
			environment.CRDDirectoryPaths = append(environment.CRDDirectoryPaths, filepath.Join(strings.TrimSpace(string(dir)), path))
		}
	}
	config, err := environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no Kubernetes API:", err)
		return 1
	}
	defer func() { _ = environment.Stop() }()
	if api, err = client.New(config, client.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"content", "keyward-system", "ingress-nginx"} {
		if err := api.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func needAPI(t *testing.T) {
	t.Helper()
	if skipped {
		t.Skip("KUBEBUILDER_ASSETS names no Kubernetes API: run make test-gatewaykits")
	}
}

// apply creates an object without keeping it, as strictly as kubectl does: by the schema, its rules, and without any field
// that it does not have.
func apply(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	return api.Create(t.Context(), object.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// TestKitsAreAccepted by a Kubernetes API that has the schemas of the gateways.
func TestKitsAreAccepted(t *testing.T) {
	needAPI(t)
	unknown := map[string]bool{}
	for _, kit := range kits {
		for _, object := range objects(t, kit) {
			err := apply(t, object)
			if meta.IsNoMatchError(err) {
				unknown[object.GroupVersionKind().Group] = true
				continue
			}
			if err != nil {
				t.Errorf("%s, %s %s: %v", kit, object.GetKind(), object.GetName(), err)
			}
		}
	}
	for group := range unknown {
		if !slices.Contains(unpublished, group) {
			t.Errorf("no schema for %s", group)
		}
	}
	if len(unknown) != len(unpublished) {
		t.Errorf("there are schemas now: of %v only %v are not known", unpublished, unknown)
	}
}

// TestMistakesAreRefused: the schemas are those that find mistakes.
func TestMistakesAreRefused(t *testing.T) {
	needAPI(t)
	for kit, mistakes := range map[string]map[string]string{
		"envoy-gateway/keyward.yaml": {"failOpen: false": "failOpne: false", "statusOnError: 503": "statusOnError: 200",
			"KeepUnchanged": "Keep", "includeRouteMetadata": "includeRouteMetadatas", "type: Prefix": "type: Prefixed",
			"    grpc:\n": "    gprc:\n"},
		"istio/keyward.yaml":       {"action: CUSTOM": "action: CUSTOMS", "provider: {name": "providers: {name", "selector:": "selectors:"},
		"gateway-api/keyward.yaml": {"protocol: GRPC": "protocol: HTTP", "grpc: {}": "grcp: {}", "type: ExternalAuth": "type: ExtAuth"},
		"cilium/keyward.yaml":      {"protocol: GRPC": "protocol: GRPCS", "kind: Service": "kinds: Service"},
		"nginx-gateway-fabric/keyward.yaml": {"path: /authz/gateway-api\n": "path: /authz/gateway-api?project=x\n",
			"allowedResponseHeaders": "allowedUpstreamHeaders", "remove: [": "remove: [X-A, "},
		"ingress-nginx/keyward.yaml": {"pathType: Prefix": "pathType: Beginning", "ingressClassName": "ingressClass"},
	} {
		for right, wrong := range mistakes {
			text := string(read(t, "config/gateways", kit))
			if !strings.Contains(text, right) {
				t.Fatalf("no %q in %s", right, kit)
			}
			refused := false
			for _, object := range decode(t, []byte(strings.Replace(text, right, wrong, 1))) {
				refused = apply(t, object) != nil || refused
			}
			if !refused {
				t.Errorf("%s: %q is accepted in place of %q", kit, wrong, right)
			}
		}
	}
}
