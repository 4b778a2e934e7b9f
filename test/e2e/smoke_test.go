package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/hack/run/content"
)

// request is a request of the sample website, and its expected response.
type request struct {
	name    string
	path    string
	key     string
	origin  string
	status  int
	problem string // the code of the denial
}

func sampleRequests(key, unknown string) []request {
	return []request{
		{"allowed", "/api/scenes/mkt-hero", key, "https://www.acme.example", 200, ""},
		{"no key", "/api/scenes/mkt-hero", "", "", 401, "key_missing"},
		{"unknown key", "/api/scenes/mkt-hero", unknown, "", 401, "key_unknown"},
		{"foreign origin", "/api/scenes/mkt-hero", key, "https://evil.example", 403, "origin_denied"},
		{"another project", "/api/scenes/prd-rocket", key, "", 403, "project_denied"},
	}
}

// contextHeaders are what the upstream of the sample receives, besides the id of the key.
var contextHeaders = map[string]string{
	"X-Keyward-Group": "acme/acme", "X-Keyward-Group-Name": "Acme Inc", "X-Keyward-Tier": "Pro", "X-Keyward-Project": "marketing",
	"X-Keyward-Permissions": "read,checkout", "X-Keyward-Context-Database": "acme_prod", "X-Keyward-Context-Bucketname": "acme-media",
}

// TestFromYAMLToA200 applies the samples and sends requests through every integration.
func TestFromYAMLToA200(t *testing.T) {
	w := newWorld(t)
	w.namespace = "acme" // that of the samples
	w.lead(managerSetup{startupGrace: quick})
	w.subscribe("window", 0)
	upstream := httptest.NewServer(content.Handler(slog.New(slog.DiscardHandler)))
	t.Cleanup(upstream.Close)
	v := w.startValidator(validatorSetup{instance: "validator", upstream: upstream.URL})
	v.awaitReady()

	eventually(t, "config/samples to be admitted", patience, func() error {
		_, err := w.kubectl("apply", "--server-side", "-k", filepath.Join(root, "config/samples"))
		return err
	})
	sample := w.awaitKey("acme-web", "ready", isReady)
	w.awaitKey("acme-web", "enforced on both servers", isEnforced(2))
	key := w.plaintext("acme-web")
	for _, request := range sampleRequests(key, strangeKey(t)) {
		t.Run(request.name, func(t *testing.T) {
			t.Run("reverse proxy", func(t *testing.T) { throughProxy(t, v, request, sample.Status.KeyID) })
			t.Run("authz", func(t *testing.T) { throughForwardAuth(t, v, "/authz", "X-Forwarded-", request, sample.Status.KeyID) })
			t.Run("nginx", func(t *testing.T) {
				throughForwardAuth(t, v, "/authz/nginx", "X-Original-", request, sample.Status.KeyID)
			})
			t.Run("verify", func(t *testing.T) { throughVerify(t, v, request, sample.Status.KeyID) })
			t.Run("ext_authz", func(t *testing.T) { throughExtAuthz(t, v, request, sample.Status.KeyID) })
		})
	}
}

// answer is a response, as curl shows it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// curl runs the program itself, because that is what people paste.
func curl(t *testing.T, arguments ...string) answer {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "curl",
		append([]string{"--silent", "--show-error", "--include", "--max-time", "10"}, arguments...)...).Output()
	if err != nil {
		t.Fatalf("curl: %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(output)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// madeUp are headers that clients must not set.
var madeUp = []string{"-H", "X-Keyward-Group: victim/victim", "-H", "x-keyward-context-secret: made-up"}

// headers returns the arguments for what the client sends, including context that it makes up.
func (r request) headers() []string {
	arguments := slices.Clone(madeUp)
	if r.key != "" {
		arguments = append(arguments, "-H", "Authorization: Bearer "+r.key)
	}
	if r.origin != "" {
		arguments = append(arguments, "-H", "Origin: "+r.origin)
	}
	return arguments
}

// checkContext compares headers with what the upstream has to receive.
func checkContext(t *testing.T, get func(string) string, keyID string) {
	t.Helper()
	for name, value := range contextHeaders {
		if got := get(name); got != value {
			t.Errorf("%s is %q instead of %q", name, got, value)
		}
	}
	if got := get("X-Keyward-Key-Id"); got != keyID || keyID == "" {
		t.Errorf("X-Keyward-Key-Id is %q instead of %q", got, keyID)
	}
	if got := get("X-Keyward-Context-Secret"); got != "" {
		t.Errorf("the upstream sees %q, which the client made up", got)
	}
}

// checkProblem reads the body of a denial.
func checkProblem(t *testing.T, r request, contentType string, body []byte) {
	t.Helper()
	var problem struct {
		Code   string
		Status int
	}
	if err := json.Unmarshal(body, &problem); err != nil || problem.Code != r.problem || problem.Status != r.status ||
		contentType != "application/problem+json" {
		t.Errorf("%s %s instead of the problem %s", contentType, body, r.problem)
	}
	if r.key != "" && strings.Contains(string(body), r.key) {
		t.Error("the problem repeats the key")
	}
}

func throughProxy(t *testing.T, v *validator, r request, keyID string) {
	got := curl(t, append(r.headers(), "http://"+v.listens.Proxy.String()+r.path)...)
	if got.status != r.status {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	if r.problem != "" {
		checkProblem(t, r, got.header.Get("Content-Type"), got.body)
		return
	}
	var seen struct {
		Context           map[string]string
		CredentialReached bool
	}
	if err := json.Unmarshal(got.body, &seen); err != nil || seen.CredentialReached {
		t.Fatalf("%v: the upstream says %s", err, got.body)
	}
	checkContext(t, func(name string) string { return seen.Context[name] }, keyID)
}

func throughForwardAuth(t *testing.T, v *validator, path, prefix string, r request, keyID string) {
	arguments := r.headers()
	if path == "/authz/nginx" {
		arguments = arguments[len(madeUp):] // which are refused there, since nginx cannot remove them
	}
	arguments = append(arguments, "-H", prefix+"Method: GET", "-H", prefix+"Host: cdn.acme.example", "-H", prefix+"Uri: "+r.path)
	got := curl(t, append(arguments, "http://"+v.listens.HTTP.String()+path)...)
	if got.status != r.status {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	if r.problem != "" {
		checkProblem(t, r, got.header.Get("Content-Type"), got.body)
		return
	}
	checkContext(t, got.header.Get, keyID)
}

func throughVerify(t *testing.T, v *validator, r request, keyID string) {
	body := map[string]string{"method": "GET", "path": r.path, "origin": r.origin}
	if r.key != "" {
		body["key"] = r.key
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	got := curl(t, "--data-binary", string(data), "http://"+v.listens.HTTP.String()+"/v1/verify")
	var verdict adminv1.Verdict
	if err := json.Unmarshal(got.body, &verdict); err != nil || got.status != http.StatusOK || verdict.Status != r.status {
		t.Fatalf("%v: %d %s", err, got.status, got.body)
	}
	if r.problem != "" {
		if verdict.Code != r.problem || verdict.Allowed {
			t.Errorf("the verdict is %s", got.body)
		}
		return
	}
	checkContext(t, func(name string) string { return verdict.Headers[name] }, keyID)
}

func throughExtAuthz(t *testing.T, v *validator, r request, keyID string) {
	connection, err := grpc.NewClient(v.listens.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	// Envoy writes header names in lower case.
	headers := map[string]string{"x-keyward-group": "victim/victim", "x-keyward-context-secret": "made-up"}
	if r.key != "" {
		headers["authorization"] = "Bearer " + r.key
	}
	if r.origin != "" {
		headers["origin"] = r.origin
	}
	answer, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: http.MethodGet, Host: "cdn.acme.example", Path: r.path, Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if denied := answer.GetDeniedResponse(); denied != nil {
		contentType := ""
		for _, header := range denied.GetHeaders() {
			if strings.EqualFold(header.GetHeader().GetKey(), "Content-Type") {
				contentType = header.GetHeader().GetValue()
			}
		}
		if int(denied.GetStatus().GetCode()) != r.status {
			t.Errorf("the status is %s", denied.GetStatus())
		}
		checkProblem(t, r, contentType, []byte(denied.GetBody()))
		return
	}
	// Envoy first removes headers, then sets others.
	ok := answer.GetOkResponse()
	upstream := http.Header{}
	for name, value := range headers {
		if !slices.ContainsFunc(ok.GetHeadersToRemove(), func(removed string) bool { return strings.EqualFold(removed, name) }) {
			upstream.Set(name, value)
		}
	}
	for _, option := range ok.GetHeaders() {
		upstream.Set(option.GetHeader().GetKey(), option.GetHeader().GetValue())
	}
	if r.problem != "" || upstream.Get("Authorization") != "" {
		t.Fatalf("allowed, with the headers %v", upstream)
	}
	checkContext(t, upstream.Get, keyID)
}
