package envoy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fixture"
)

func startServer(t testing.TB, keepCredential bool) (*Server, string) {
	t.Helper()
	key := fixture.Mint(t)
	return newServer(fixture.Authorizer(t, fixture.Update(key)), nil, httpapi.Stripping{KeepCredential: keepCredential}), key.Reveal()
}

// ask sends one check without a connection.
func ask(t testing.TB, server *Server, check *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	message, err := proto.Marshal(check)
	if err != nil {
		t.Fatal(err)
	}
	q := newCheckRequest()
	defer q.release()
	if err := q.unmarshal(string(message)); err != nil {
		t.Fatal(err)
	}
	return decode(t, server.respond(t.Context(), q))
}

func TestKeepCredential(t *testing.T) {
	for _, keep := range []bool{false, true} {
		server, key := startServer(t, keep)
		response := ask(t, server, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Host: "h.example", Method: "GET", Path: "/x?y", Headers: map[string]string{"authorization": "Bearer " + key},
			}},
		}})
		if codes.Code(response.GetStatus().GetCode()) != codes.OK {
			t.Fatal(response)
		}
		if removed := slices.Contains(response.GetOkResponse().GetHeadersToRemove(), headerKey); removed == keep {
			t.Errorf("keep %v: removed %v", keep, removed)
		}
	}
}

// headerKey is the spelling of the credential's header in removals.
const headerKey = "Authorization"

// TestCheckWithoutRequestIsDenied sends what Envoy never sends.
func TestCheckWithoutRequestIsDenied(t *testing.T) {
	server, _ := startServer(t, false)
	for _, check := range []*authv3.CheckRequest{nil, {}, {Attributes: &authv3.AttributeContext{}}} {
		response := ask(t, server, check)
		if response.GetDeniedResponse() == nil || codes.Code(response.GetStatus().GetCode()) == codes.OK {
			t.Errorf("%v: %v", check, response)
		}
	}
}

func TestEnvoyAcceptsEveryDenial(t *testing.T) {
	for _, code := range decision.Codes()[1:] {
		var r reply
		deny(&r, authorizer.Result{Decision: decision.Decision{Code: code}}, &authorizer.Request{})
		response := decode(t, encode(&r))
		status := response.GetDeniedResponse().GetStatus().GetCode()
		if codes.Code(response.GetStatus().GetCode()) == codes.OK || typev3.StatusCode_name[int32(status)] == "" ||
			int(status) != code.Status() {
			t.Errorf("%v: %v", code, response)
		}
	}
}

// TestPooledRequestsAreEmpty: the next request in the same memory contains nothing of the previous one.
func TestPooledRequestsAreEmpty(t *testing.T) {
	server, key := startServer(t, false)
	q := newCheckRequest()
	for _, check := range []*authv3.CheckRequest{checks()[0], checks()[3]} { // one is parsed, the other one read by protobuf
		check.Attributes.ContextExtensions = nil
		check.Attributes.Request.Http.Headers = map[string]string{"authorization": "Bearer " + key, "x-keyward-group": "evil"}
		message, err := proto.Marshal(check)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.unmarshal(string(message)); err != nil {
			t.Fatal(err)
		}
		if decode(t, server.respond(t.Context(), q)).GetOkResponse() == nil {
			t.Fatal("denied")
		}
		q.reset()
		again := fmt.Sprintf("%+v %+v", q.request, q.reply)
		for _, h := range append(q.reply.set[:cap(q.reply.set)], httpapi.Header{}) {
			again += h.Value
		}
		if strings.Contains(again, key) || strings.Contains(again, "tenants/acme") || len(q.Header) > 0 ||
			q.method+q.host+q.target+q.peer+q.project+q.request.ID != "" {
			t.Errorf("left: %s", again)
		}
	}
}

// TestRequestIsNotPrinted, since it contains a key.
func TestRequestIsNotPrinted(t *testing.T) {
	q := newCheckRequest()
	q.Add("Authorization", "Bearer secret")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, q); strings.Contains(text, "secret") {
			t.Errorf("%s: %s", format, text)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	message, err := proto.Marshal(checks()[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q := newCheckRequest()
			if !q.parse(string(message)) {
				b.Fatal("not parsed")
			}
			q.release()
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q, err := readWithProtobuf(message)
			if err != nil {
				b.Fatal(err)
			}
			q.release()
		}
	})
}

// BenchmarkRespond is a decision with its response. The authorizer has a benchmark of its own part.
func BenchmarkRespond(b *testing.B) {
	server, key := startServer(b, false)
	for name, credential := range map[string]string{"allow": key, "deny": "not a key"} {
		check := checks()[0]
		check.Attributes.Request.Http.Headers = map[string]string{"authorization": "Bearer " + credential, "x-request-id": "1"}
		check.Attributes.ContextExtensions = nil
		message, err := proto.Marshal(check)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			q := newCheckRequest()
			b.ReportAllocs()
			for b.Loop() {
				if !q.parse(string(message)) {
					b.Fatal("not parsed")
				}
				responsePool{}.Put((*[]byte)(server.respond(b.Context(), q)))
				q.reset()
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	r := &reply{
		set: []httpapi.Header{{Name: httpapi.HeaderGroup, Value: "tenants/acme"},
			{Name: httpapi.HeaderProject, Value: "marketing"}, {Name: httpapi.HeaderKeyID, Value: "k000000000000001"},
			{Name: httpapi.HeaderPermissions, Value: "read"}, {Name: httpapi.HeaderRequestID, Value: "1"}},
		remove: []string{"Authorization"},
		added: []addition{{Header: httpapi.Header{Name: httpapi.HeaderRequestID, Value: "1"}, action: 2},
			{Header: httpapi.Header{Name: httpapi.HeaderVary, Value: "Origin"}}},
	}
	r.metadata = [len(r.metadata)]httpapi.Header{{Name: "group", Value: "tenants/acme"}, {Name: "project", Value: "marketing"},
		{Name: "key_id", Value: "k000000000000001"}, {Name: "code", Value: "allowed"}}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			responsePool{}.Put((*[]byte)(encode(r)))
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := proto.Marshal(encodeWithProtobuf(r)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestOverridesAreRemoved, and headers that only trusted proxies may set, except those that Envoy itself has written.
func TestOverridesAreRemoved(t *testing.T) {
	server, key := startServer(t, false)
	server.clients = clientaddr.New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, clientaddr.HeaderXForwardedFor)
	sent := []string{"x-http-method-override", "x-original-url", "x_rewrite_url", "x-host", "x-forwarded-prefix",
		"x_forwarded_for", "x|forwarded|for", "x.keyward.context.database", "x.original~url", "x-forwarded-for",
		"x-forwarded-proto", "x-envoy-external-address", "x-forwarded-host", "x-real-ip", "forwarded", "x-custom"}
	for peer, want := range map[string]string{
		"192.0.2.1": "[Authorization Forwarded X-Forwarded-Host X-Forwarded-Prefix X-Host X-Http-Method-Override " +
			"X-Original-Url X-Real-Ip X.keyward.context.database X.original~url X_forwarded_for X_rewrite_url X|forwarded|for]",
		"10.1.2.3": "[Authorization X-Forwarded-Prefix X-Host X-Http-Method-Override X-Original-Url " +
			"X.keyward.context.database X.original~url X_forwarded_for X_rewrite_url X|forwarded|for]",
		"": "[Authorization Forwarded X-Forwarded-Host X-Forwarded-Prefix X-Host X-Http-Method-Override " +
			"X-Original-Url X-Real-Ip X.keyward.context.database X.original~url X_forwarded_for X_rewrite_url X|forwarded|for]",
	} {
		check := checks()[0]
		check.Attributes.ContextExtensions = nil
		headers := map[string]string{"authorization": "Bearer " + key}
		for _, name := range sent {
			headers[name] = "x"
		}
		check.Attributes.Request.Http.Headers = headers
		socket := &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: peer}}
		check.Attributes.Source = &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: socket}}
		ok := ask(t, server, check).GetOkResponse()
		if ok == nil {
			t.Fatal("denied")
		}
		if got := fmt.Sprint(ok.GetHeadersToRemove()); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}

// TestEverySharedCacheIsInstructed: what a content server says to shared caches is replaced.
func TestEverySharedCacheIsInstructed(t *testing.T) {
	for _, name := range httpapi.SharedCacheHeaders() {
		if !slices.ContainsFunc(privately, func(a addition) bool {
			return strings.EqualFold(a.Name, name) && a.action == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS
		}) {
			t.Errorf("%s stays", name)
		}
	}
}
