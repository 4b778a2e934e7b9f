package conformance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/envoy"
)

func dialExtAuthz(t testing.TB, g *authorizer.Authorizer, clients *clientaddr.Resolver) authv3.AuthorizationClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(envoy.ServerOption(g.Keys()))
	envoy.Register(server, g, clients, httpapi.Stripping{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}

// askExtAuthz asks like Envoy: with names in lower case, and duplicates joined by commas, or listed with
// encode_raw_headers, and the project in the route's extensions or annotations. Then it changes the request as Envoy would.
func askExtAuthz(t *testing.T, client authv3.AuthorizationClient, e testRequest, raw, annotated bool) outcome {
	t.Helper()
	header := http.Header{} // by names in lower case
	for _, line := range e.lines {
		name, value, _ := strings.Cut(line, ": ")
		name = strings.ToLower(name)
		header[name] = append(header[name], value)
	}
	attributes := &authv3.AttributeContext_HttpRequest{Method: e.method, Host: e.host, Path: e.target, Scheme: "https"}
	if raw {
		attributes.HeaderMap = &corev3.HeaderMap{}
		for name, values := range header {
			for _, value := range values {
				attributes.HeaderMap.Headers = append(attributes.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
			}
		}
	} else {
		attributes.Headers = map[string]string{}
		for name, values := range header {
			attributes.Headers[name] = strings.Join(values, ",")
		}
	}
	check := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: attributes}}}
	if e.client != "" {
		client, _, _ := strings.Cut(e.client, ":4711") // the port is in another field
		check.Attributes.Source = &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: client},
		}}}
	}
	switch {
	case annotated:
		check.Attributes.RouteMetadataContext = routeMetadata(t, e.project)
	case e.project != "":
		check.Attributes.ContextExtensions = map[string]string{envoy.ProjectExtension: e.project}
	}
	response, err := client.Check(context.Background(), check)
	if err != nil {
		t.Fatal(err)
	}
	code := response.GetDynamicMetadata().GetFields()["code"].GetStringValue()
	if denied := response.GetDeniedResponse(); denied != nil {
		if codes.Code(response.GetStatus().GetCode()) == codes.OK {
			t.Error("a denial with status OK: Envoy would let it pass")
		}
		a := denial(t, reply{int(denied.GetStatus().GetCode()), clientHeaders(denied.GetHeaders()), []byte(denied.GetBody())})
		if a.code != code {
			t.Errorf("metadata says %q", code)
		}
		return a
	}
	if codes.Code(response.GetStatus().GetCode()) != codes.OK {
		t.Error("an allow without status OK")
	}
	var injected []string
	target := e.target
	for _, option := range response.GetOkResponse().GetHeaders() {
		if option.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%s is added to what the client sent", option.GetHeader().GetKey())
		}
		name := strings.ToLower(option.GetHeader().GetKey())
		header[name] = []string{option.GetHeader().GetValue()}
		if name == ":path" {
			target = option.GetHeader().GetValue()
			delete(header, name)
		}
		if name != "x-request-id" && name != ":path" && !isPassed(name) && name != "referer" {
			injected = append(injected, option.GetHeader().GetKey()+": "+option.GetHeader().GetValue())
		}
	}
	for _, name := range response.GetOkResponse().GetHeadersToRemove() {
		delete(header, strings.ToLower(name)) // after setting, as Envoy does
	}
	slices.Sort(injected)
	e.compareSecrets(t, fmt.Sprint(target, header))
	sent := clientHeaders(response.GetOkResponse().GetResponseHeadersToAdd())
	return outcome{
		setsHeaders: true, headers: sent,
		allowed: true, status: http.StatusOK, code: code, injected: injected, requestID: sent.Get("X-Request-Id"),
		hasUpstream: true, upstream: linesOf(header, isWatched), target: target, selects: sent.Get("Sec-WebSocket-Protocol"),
	}
}

// routeMetadata is what Envoy Gateway knows of a route.
func routeMetadata(t *testing.T, project string) *corev3.Metadata {
	t.Helper()
	annotations := map[string]any{"team": "web"}
	if project != "" {
		annotations[envoy.ProjectAnnotation] = project
	}
	fields, err := structpb.NewStruct(map[string]any{"resources": []any{map[string]any{
		"kind": "HTTPRoute", "name": "content", "namespace": "acme", "annotations": annotations,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy-gateway": fields}}
}

// clientHeaders are headers as Envoy sends them to a client.
func clientHeaders(options []*corev3.HeaderValueOption) http.Header {
	header := http.Header{}
	for _, option := range options {
		header.Add(option.GetHeader().GetKey(), option.GetHeader().GetValue())
	}
	return header
}
