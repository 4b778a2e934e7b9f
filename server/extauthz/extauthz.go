// Package extauthz is the door for Envoy and what is built on it: the gRPC service
// envoy.service.auth.v3.Authorization of the external authorization filter.
package extauthz

import (
	"context"
	"net/http"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/keyward-dev/keyward/server/clientaddr"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/httpwire"
)

const (
	doorName = "extauthz"

	// ProjectExtension is the key of the route's context_extensions that names the trusted
	// project. Envoy takes it from its own configuration, never from the client.
	ProjectExtension = "keyward.dev/project"
)

// Server answers Envoy's checks.
type Server struct {
	authv3.UnimplementedAuthorizationServer

	door    *gate.Door
	clients *clientaddr.Resolver

	keepCredential bool
}

// Register adds the service to a gRPC server. With keepCredential, upstreams see the key.
func Register(server *grpc.Server, g *gate.Gate, clients *clientaddr.Resolver, keepCredential bool) {
	authv3.RegisterAuthorizationServer(server, &Server{door: g.Door(doorName), clients: clients, keepCredential: keepCredential})
}

// Check decides one request. Denials are answers, not errors: it never fails.
func (s *Server) Check(ctx context.Context, check *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	attributes := check.GetAttributes().GetRequest().GetHttp()
	header := headerOf(attributes)
	path, rawQuery := httpwire.SplitTarget(attributes.GetPath())
	request := gate.Request{
		Request: httpwire.NewRequest(header, attributes.GetMethod(), attributes.GetHost(), path, rawQuery),
		Client:  s.clients.Seen(peerOf(check), header),
		ID:      httpwire.RequestID(header[httpwire.HeaderRequestID]...),
	}
	request.TrustedProject = check.GetAttributes().GetContextExtensions()[ProjectExtension]

	result := s.door.Decide(ctx, &request)
	if !result.Allowed() {
		return denied(result, &request), nil
	}
	return s.allowed(result, &request, header), nil
}

// peerOf returns who has connected to Envoy. Behind another proxy that is not the client.
func peerOf(check *authv3.CheckRequest) netip.Addr {
	peer, err := netip.ParseAddr(check.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress())
	if err != nil { // a pipe, or an old Envoy
		return netip.Addr{}
	}
	return peer
}

// headerOf reads the headers. Where Envoy is set to encode_raw_headers they come as a list
// with duplicates; otherwise it has joined duplicates with commas.
func headerOf(attributes *authv3.AttributeContext_HttpRequest) http.Header {
	header := http.Header{}
	for name, value := range attributes.GetHeaders() {
		header.Add(name, value)
	}
	if len(header) > 0 {
		return header
	}
	for _, h := range attributes.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		header.Add(h.GetKey(), value)
	}
	return header
}

func (s *Server) allowed(result gate.Result, request *gate.Request, header http.Header) *authv3.CheckResponse {
	set := httpwire.UpstreamHeaders(result.Decision, request.ID)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:         options(set),
			HeadersToRemove: httpwire.Removals(header, s.keepCredential, set),

			ResponseHeadersToAdd: forClient(result, request),
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"group":   structpb.NewStringValue(result.Group.Identity),
			"project": structpb.NewStringValue(result.Project.Name),
			"key_id":  structpb.NewStringValue(result.Key.ID),
			"code":    structpb.NewStringValue(result.Code.String()),
		}},
	}
}

func denied(result gate.Result, request *gate.Request) *authv3.CheckResponse {
	code, denial := result.Code, httpwire.NewDenial(result.Decision, &request.Request, result.RetryAfter).With(httpwire.RateLimit(result.Rates)...)
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(statusOf(denial.Status)), Message: code.String()},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(denial.Status)},
			Headers: options(append(denial.Headers, httpwire.Header{Name: httpwire.HeaderRequestID, Value: request.ID})),
			Body:    string(denial.Body),
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"code": structpb.NewStringValue(code.String()),
		}},
	}
}

// forClient returns what the response of an upstream gains. An upstream that speaks CORS
// itself keeps its word, and one with rate limits of its own tells them, too.
func forClient(result gate.Result, request *gate.Request) []*corev3.HeaderValueOption {
	list := options([]httpwire.Header{{Name: httpwire.HeaderRequestID, Value: request.ID}})
	add := func(h httpwire.Header, action corev3.HeaderValueOption_HeaderAppendAction) {
		list = append(list, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value}, AppendAction: action})
	}
	add(httpwire.Header{Name: httpwire.HeaderVary, Value: httpwire.Vary(&request.Request)}, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	for _, h := range httpwire.RateLimit(result.Rates) {
		add(h, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	}
	for _, h := range httpwire.CORS(result.Decision, &request.Request) {
		add(h, corev3.HeaderValueOption_ADD_IF_ABSENT)
	}
	return list
}

// statusOf is the gRPC status for an HTTP one. Envoy only asks whether it is OK.
func statusOf(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusTooManyRequests, http.StatusPaymentRequired:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusBadRequest:
		return codes.InvalidArgument
	default:
		return codes.PermissionDenied
	}
}

// options replaces headers rather than adding to what the client sent.
func options(headers []httpwire.Header) []*corev3.HeaderValueOption {
	list := make([]*corev3.HeaderValueOption, 0, len(headers))
	for _, h := range headers {
		list = append(list, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: h.Name, Value: h.Value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return list
}
