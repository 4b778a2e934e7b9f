package plugin

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/server/adminapi"
	"github.com/keyward-dev/keyward/server/adminapi/decisionlog"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
)

const adminToken = "a-token-of-some-length"

// remembering serves the decision log as a validation server does.
func remembering(t *testing.T) (*decisionlog.Ring, *httptest.Server, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(adminToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ring := decisionlog.New()
	mux := http.NewServeMux()
	mux.Handle(adminv1.DecisionsPath, adminapi.RequireToken(file, slog.New(slog.DiscardHandler), ring.Handler()))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return ring, server, file
}

func record(ring *decisionlog.Ring, id, key string, code decision.Code, before time.Duration) {
	result := &authorizer.Result{Decision: decision.Decision{Code: code}}
	if key != "" {
		result.Key, result.Group = decision.Key{ID: key}, &decision.Group{Identity: "explain/acme"}
		result.Project = &decision.Project{Name: "marketing"}
	}
	ring.Record("reverseproxy", now.Add(-before), &authorizer.Request{ID: id, Request: decision.Request{
		Method: "GET", Host: "cdn.acme.example", Path: "/secret-path", Origin: "https://evil.example",
	}}, result)
}

// TestHints: each code is explained, and each refusal has a hint, without a placeholder that is not filled in.
func TestHints(t *testing.T) {
	for _, code := range decisioncode.All() {
		d := &ruling{Decision: adminv1.Decision{Code: code.String()}}
		cause, hint := d.explain("")
		if cause == "" || d.refused() != (hint != "") || strings.ContainsAny(cause+hint, "{}") {
			t.Errorf("%s: %q, %q", code, cause, hint)
		}
	}
	if cause, hint := (&ruling{Decision: adminv1.Decision{Code: "of_tomorrow"}}).explain(""); cause == "" || hint != "" {
		t.Errorf("an unknown code: %q, %q", cause, hint)
	}
}

func TestExplain(t *testing.T) {
	namespace(t, "explain")
	object(t, "explain", "web", func(k *v1alpha1.ApiKey) { k.Status.KeyID = "kweb" })
	object(t, "explain", "busy", func(k *v1alpha1.ApiKey) { k.Status.KeyID = "kbusy" })
	object(t, "explain", "quiet", func(k *v1alpha1.ApiKey) { k.Status.KeyID = "kquiet" })
	object(t, "explain", "unknown", func(k *v1alpha1.ApiKey) { k.Status = v1alpha1.ApiKeyStatus{} })
	ring, server, file := remembering(t)
	other, second, _ := remembering(t)
	record(ring, "r1", "kweb", decision.OriginDenied, 3*time.Minute)
	record(ring, "r2", "", decision.KeyMissing, 2*time.Minute)
	record(other, "r3", "kweb", decision.PermissionDenied, time.Minute)
	record(ring, "r4", "kweb", decision.Allowed, time.Second)
	record(ring, "a:b!", "", decision.KeyUnknown, time.Second)
	record(ring, "lost", "kbusy", decision.KeySuspended, time.Hour)
	for range 2000 {
		record(ring, "", "kbusy", decision.Allowed, time.Minute)
	}
	both := []string{"--url", server.URL, "--url", second.URL + "/", "--token-file", file, "-n", "explain"}
	ask := func(args ...string) result {
		t.Helper()
		r := keyward(t, "", append(append([]string{"explain"}, args...), both...)...)
		// Ports are others each time.
		for name, s := range map[string]*httptest.Server{"server-1": server, "server-2": second} {
			r.out = strings.ReplaceAll(r.out, strings.TrimPrefix(s.URL, "http://"), name)
		}
		return r.lacks(t, adminToken)
	}
	ask("r1").golden(t, "explain-request")
	ask("r2").golden(t, "explain-no-key")
	ask("r1", "-o", "json").golden(t, "explain-json")
	ask("web").golden(t, "explain-apikey")
	ask("kweb", "--all", "--limit", "1").golden(t, "explain-limit")
	ask("r4").expect(t, 0, "Not refused: 200 allowed")
	ask("a:b!").expect(t, 0, "401 key_unknown")
	ask("busy").expect(t, 0, "403 key_suspended", "kubectl keyward resume -n explain busy")
	ask("quiet").expect(t, 0, "No request with this key is remembered by 2 servers", "explain/quiet is Active now")
	ask("unknown").expect(t, ExitRefused, "has not looked at")
	ask("r99").expect(t, ExitError, "none of the 2 servers")

	both = []string{"--url", server.URL, "--url", "http://127.0.0.1:1", "--token-file", file}
	ask("r1").expect(t, 0, "! 127.0.0.1:1: ", "403 origin_denied")
	both = []string{"--url", "http://127.0.0.1:1", "--token-file", file}
	ask("r1").expect(t, ExitError, "connection refused", "no validation server returned")
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("another-token-than-theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	keyward(t, "", "explain", "r1", "--url", server.URL, "--token-file", wrong).expect(t, ExitError, "it requires another token")
	off := httptest.NewServer(http.HandlerFunc(decisionlog.Disabled))
	defer off.Close()
	keyward(t, "", "explain", "r1", "--url", off.URL, "--token-file", file).expect(t, ExitError, "start it with --admin-token-file")
}

// TestExplainThroughTheAPIServer reaches a server in a Pod as kubectl port-forward does: through the real API server and, for
// the last step, the code of a kubelet.
func TestExplainThroughTheAPIServer(t *testing.T) {
	ring, server, _ := remembering(t)
	record(ring, "tunnel", "kweb", decision.KeyRetired, time.Minute)
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		portforward.ServePortForward(w, r, dialer{}, "", "", &portforward.V4Options{}, time.Minute, time.Minute,
			portforward.SupportedProtocols)
	}))
	defer kubelet.Close()
	namespace(t, "keyward-system")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "keyward-system", Name: "keyward-validator-1",
		Labels: map[string]string{"app.kubernetes.io/name": "keyward", "app.kubernetes.io/component": "validator"},
	}}
	pod.Spec.NodeName = node.Name
	pod.Spec.Containers = []corev1.Container{{Name: "validator", Image: "keyward/validator", Ports: []corev1.ContainerPort{
		{Name: "http", ContainerPort: 1}, {Name: adminPortName, ContainerPort: int32(portOf(t, server.URL))},
	}}}
	stopped := pod.DeepCopy()
	stopped.Name = "keyward-validator-2"
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "keyward-system", Name: "keyward-validator-admin"},
		StringData: map[string]string{tokenEntry: adminToken + "\n"},
	}
	for _, err := range []error{
		admin.Create(t.Context(), node), admin.Create(t.Context(), pod),
		admin.Create(t.Context(), stopped), admin.Create(t.Context(), secret),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(portOf(t, kubelet.URL))
	pod.Status.Phase = corev1.PodRunning
	if err := admin.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	keyward(t, "", "explain", "tunnel").expect(t, 0, "401 key_retired",
		"keyward-system/keyward-validator-1, integration reverseproxy").lacks(t, adminToken)
	server.Close()
	keyward(t, "", "explain", "tunnel").expect(t, ExitError, "keyward-system/keyward-validator-1: ", "no validation server returned")
}

// dialer plays the container runtime: it connects to a port of a Pod, which is a port of this machine.
type dialer struct{}

func (dialer) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	go func() { _, _ = io.Copy(connection, stream) }()
	_, err = io.Copy(stream, connection)
	return err
}

func portOf(t *testing.T, text string) int {
	t.Helper()
	at, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
