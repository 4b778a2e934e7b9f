package bearer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyward-dev/keyward/console/bearer"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

// apiServer knows tokens that are "is-" and a name, and fails the test if a request has anything else to know somebody by.
func apiServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "Impersonate-") {
				t.Errorf("%s is sent", name)
			}
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		name, known := strings.CutPrefix(token, "is-")
		if r.URL.Path != "/apis/authentication.k8s.io/v1/selfsubjectreviews" || !ok {
			t.Errorf("%s %s, Authorization %q", r.Method, r.URL.Path, r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(token, "of-the-pod") {
			t.Error("the credential of the pod is sent")
		}
		if strings.HasPrefix(token, "ey") {
			name, known = "jwt", true
		}
		switch {
		case token == "down":
			w.WriteHeader(http.StatusInternalServerError)
		case !known:
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure",
				Reason: metav1.StatusReasonUnauthorized, Code: http.StatusUnauthorized})
		default:
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(authenticationv1.SelfSubjectReview{
				TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectReview", APIVersion: "authentication.k8s.io/v1"},
				Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: name, Groups: []string{"shop"}}}})
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// ofPod has everything by which the API server could know the console itself.
func ofPod(host string) *rest.Config {
	return &rest.Config{
		Host: host, BearerToken: "of-the-pod", BearerTokenFile: "/of-the-pod", Username: "of-the-pod", Password: "of-the-pod",
		Impersonate:  rest.ImpersonationConfig{UserName: "of-the-pod"},
		AuthProvider: &clientcmdapi.AuthProviderConfig{Name: "of-the-pod"}, ExecProvider: &clientcmdapi.ExecConfig{Command: "of-the-pod"},
		TLSClientConfig: rest.TLSClientConfig{CAFile: "/ca", CertFile: "/of-the-pod", KeyFile: "/of-the-pod", CertData: []byte("x"), KeyData: []byte("x")},
	}
}

func TestReachHasTheTokenAlone(t *testing.T) {
	t.Parallel()
	got, err := bearer.New(ofPod("https://kubernetes.example"), false).Reach(session.Claims{Credential: session.NewCredential("of-ada")})
	if err != nil {
		t.Fatal(err)
	}
	if got.BearerToken != "of-ada" || got.Host != "https://kubernetes.example" || got.CAFile != "/ca" {
		t.Errorf("%+v", got)
	}
	if got.BearerTokenFile != "" || got.Username != "" || got.Password != "" || got.Impersonate.UserName != "" || got.AuthProvider != nil ||
		got.ExecProvider != nil || got.CertFile != "" || got.KeyFile != "" || len(got.CertData) > 0 || len(got.KeyData) > 0 || got.WrapTransport != nil {
		t.Errorf("a credential of the console remains: %+v", got)
	}
	if _, err := bearer.New(ofPod("x"), false).Reach(session.Claims{}); err == nil {
		t.Error("without a token, the API server is reached as somebody")
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	server := apiServer(t)
	ends := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	jwt := func(claims string) string {
		return "ey." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	for _, one := range []struct {
		token           string
		serviceAccounts bool
		name, refused   string
		ends            time.Time
	}{
		{token: "is-ada", name: "ada"},
		{token: "wrong", refused: "does not know this token"},
		{token: "is-", refused: "no name"},
		{token: "is-system:serviceaccount:shop:ci", refused: "token of a ServiceAccount"},
		{token: "is-system:serviceaccount:shop:ci", serviceAccounts: true, name: "system:serviceaccount:shop:ci"},
		{token: "is-system:node:n1", refused: "a part of the cluster"},
		{token: "is-system:anonymous", serviceAccounts: true, refused: "a part of the cluster"},
		{token: jwt(`{"exp":1795780800}`), name: "jwt", ends: ends},
		{token: jwt(`{"exp":1e300}`), name: "jwt"},
		{token: jwt(`{"exp":"x"}`), name: "jwt"},
		{token: "ey.!.x", name: "jwt"},
	} {
		config := ofPod(server.URL)
		config.CAFile = ""
		got, err := bearer.New(config, one.serviceAccounts).Verify(t.Context(), one.token)
		if one.refused != "" {
			if refused, ok := errors.AsType[*web.SignInError](err); !ok || !strings.Contains(refused.Text, one.refused) || got.Name != "" {
				t.Errorf("%s: %v, %+v", one.token, err, got)
			}
			continue
		}
		if err != nil || got.Name != one.name || got.Groups[0] != "shop" || got.Credential.Reveal() != one.token || !got.Ends.Equal(one.ends) {
			t.Errorf("%s: %v, %+v", one.token, err, got)
		}
	}
	_, err := bearer.New(&rest.Config{Host: server.URL}, false).Verify(t.Context(), "down")
	if _, refused := errors.AsType[*web.SignInError](err); err == nil || refused {
		t.Errorf("an API server that fails: %v", err)
	}
}
