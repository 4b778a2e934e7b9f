package extauthz

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/keyward-dev/keyward/api/keyformat"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/store"
)

func newServer(t *testing.T, keepCredential bool) (*Server, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Config{}, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := key.Digest()
	if err := s.Apply(&syncv1.Update{CaughtUp: true,
		Groups: []*syncv1.Group{{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: &syncv1.OriginPolicy{AllowMissing: true}}}}},
		Keys: []*syncv1.Key{{Id: "k1", Group: "tenants/acme", Projects: []string{"default"}, Permissions: []string{"read"}, Versions: []*syncv1.Version{{Digest: digest[:]}}}},
	}); err != nil {
		t.Fatal(err)
	}
	door := gate.New(s, time.Now, log, prometheus.NewRegistry()).Door(doorName)
	return &Server{door: door, keepCredential: keepCredential}, key.Reveal()
}

func TestTheCredentialStaysWhereItIsWanted(t *testing.T) {
	for _, keep := range []bool{false, true} {
		server, key := newServer(t, keep)
		response, err := server.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: "GET", Path: "/x?y", Headers: map[string]string{"authorization": "Bearer " + key},
			}},
		}})
		if err != nil || codes.Code(response.GetStatus().GetCode()) != codes.OK {
			t.Fatalf("%v, %v", response, err)
		}
		if removed := slices.Contains(response.GetOkResponse().GetHeadersToRemove(), headerKey); removed == keep {
			t.Errorf("keep %v: removed %v", keep, removed)
		}
	}
}

// headerKey is how the credential's header is spelled in removals.
const headerKey = "Authorization"

// TestACheckWithoutARequestIsDenied sends what Envoy never does.
func TestACheckWithoutARequestIsDenied(t *testing.T) {
	server, _ := newServer(t, false)
	for _, check := range []*authv3.CheckRequest{nil, {}, {Attributes: &authv3.AttributeContext{}}} {
		response, err := server.Check(t.Context(), check)
		if err != nil || response.GetDeniedResponse() == nil || codes.Code(response.GetStatus().GetCode()) == codes.OK {
			t.Errorf("%v: %v, %v", check, response, err)
		}
	}
}

func TestEveryDenialIsOneForEnvoy(t *testing.T) {
	for _, code := range decision.Codes()[1:] {
		response := denied(gate.Result{Decision: decision.Decision{Code: code}}, &gate.Request{})
		status := response.GetDeniedResponse().GetStatus().GetCode()
		if codes.Code(response.GetStatus().GetCode()) == codes.OK || typev3.StatusCode_name[int32(status)] == "" || int(status) != code.Status() {
			t.Errorf("%v: %v", code, response)
		}
	}
}
