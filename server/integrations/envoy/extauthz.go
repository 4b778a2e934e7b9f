// Package envoy is the integration for Envoy and products that are built on it: the gRPC service
// envoy.service.auth.v3.Authorization of the external authorization filter.
package envoy

import (
	"context"
	"net/http"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	integrationName = "extauthz"

	// ProjectExtension is the key in the route's context_extensions that names the trusted project. Envoy takes it from
	// its own configuration, never from the client.
	ProjectExtension = "keyward.dev/project"
)

// Server responds to Envoy's checks.
type Server struct {
	integration *authorizer.Integration
	clients     *clientaddr.Resolver

	stripping httpapi.Stripping
	receipts  Receipts
}

// Receipts stores allowed requests until they appear in Envoy's access log.
type Receipts interface {
	// Issue returns the receipt of an allowed request with a key of a group (namespace/name).
	Issue(group, keyID string) string
}

// Option configures a Server.
type Option func(*Server)

// WithReceipts adds a receipt to the response for every allowed request.
func WithReceipts(r Receipts) Option { return func(s *Server) { s.receipts = r } }

// Register adds the service to a gRPC server, which needs the ServerOption.
func Register(server *grpc.Server, auth *authorizer.Authorizer, clients *clientaddr.Resolver, stripping httpapi.Stripping,
	options ...Option) {
	server.RegisterService(&service, newServer(auth, clients, stripping, options...))
}

// envoyWrites are the headers that Envoy has already set when it sends a check, or does not allow anybody to change.
var envoyWrites = httpapi.NewNames(clientaddr.HeaderXForwardedFor, "X-Forwarded-Proto", "X-Forwarded-Client-Cert",
	"X-Envoy-External-Address")

func newServer(auth *authorizer.Authorizer, clients *clientaddr.Resolver, stripping httpapi.Stripping, options ...Option) *Server {
	stripping.Writes, stripping.Keys = envoyWrites, auth.Keys()
	s := &Server{integration: auth.Integration(integrationName), clients: clients, stripping: stripping}
	for _, option := range options {
		option(s)
	}
	return s
}

// respond decides one request. A denial is a response and no error: respond never fails.
func (s *Server) respond(ctx context.Context, q *checkRequest) *checkResponse {
	path, rawQuery := httpapi.SplitTarget(q.target)
	q.request = authorizer.Request{
		Request: httpapi.NewRequest(s.integration.Keys(), q.Header, q.method, q.host, path, rawQuery),
		Client:  s.clients.FromConnection(peerOf(q), q.Header),
		ID:      httpapi.RequestID(q.Header[httpapi.HeaderRequestID]...),
	}
	q.request.TrustedProject, q.request.NeedsHost = q.project, true
	q.request.Trace.Headers = q.Header // Envoy passes on what the client sent, unless it traces itself

	result := s.integration.Decide(ctx, &q.request)
	if result.Allowed() {
		s.allow(&q.reply, result, q, rawQuery)
	} else {
		deny(&q.reply, result, &q.request)
	}
	return encode(&q.reply)
}

// peerOf returns the address that has connected to Envoy. Behind another proxy that is not the client.
func peerOf(q *checkRequest) netip.Addr {
	peer, err := netip.ParseAddr(q.peer)
	if err != nil { // a pipe, or an old Envoy
		return netip.Addr{}
	}
	return peer
}

// reply is the content of the response to Envoy.
type reply struct {
	status  codes.Code // of gRPC. Envoy only checks whether it is OK
	message string
	denial  int // the HTTP status of a denial, 0 if the request is allowed

	// set are headers that replace existing ones: of the request to the upstream, or of the denial.
	set    []httpapi.Header
	remove []string   // names of headers that the upstream must not see
	added  []addition // to the response of the upstream
	own    bool       // the response is for this client only: no shared cache may keep it
	body   []byte     // of the denial

	metadata [5]httpapi.Header // for Envoy's access log. Entries without a name are omitted
}

// addition is a header for the client. action says what happens to the upstream's header of the same name.
type addition struct {
	httpapi.Header

	action corev3.HeaderValueOption_HeaderAppendAction
}

func (s *Server) allow(r *reply, result authorizer.Result, q *checkRequest, rawQuery string) {
	r.status = codes.OK
	principal := s.integration.Principal(&result.Decision, q.request.ID)
	r.set = append(httpapi.AppendContextHeaders(r.set, result.Decision, principal),
		httpapi.Header{Name: httpapi.HeaderRequestID, Value: q.request.ID})
	exposed := httpapi.ExposedBy(s.integration.Keys(), q.Header, &q.request.Request, rawQuery)
	from := httpapi.Sender{Trusted: s.clients.Trusts(peerOf(q)), OwnAuthorization: q.request.OwnAuthorization}
	r.remove = s.stripping.Names(r.remove, q.Header, from, r.set)
	r.replaceExposed(&exposed)
	r.metadata = [len(r.metadata)]httpapi.Header{
		{Name: "group", Value: result.Group.Identity},
		{Name: "project", Value: result.Project.Name},
		{Name: "key_id", Value: result.Key.ID},
		{Name: "code", Value: result.Code.String()},
	}
	if charged := result.Charged(); s.receipts != nil && charged != nil {
		r.metadata[len(r.metadata)-1] = httpapi.Header{Name: "receipt", Value: s.receipts.Issue(charged.Identity, result.Key.ID)}
	}
	add := func(h httpapi.Header, action corev3.HeaderValueOption_HeaderAppendAction) {
		r.added = append(r.added, addition{h, action})
	}
	add(httpapi.Header{Name: httpapi.HeaderRequestID, Value: q.request.ID}, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	add(httpapi.Header{Name: httpapi.HeaderVary, Value: httpapi.Vary(&q.request.Request)}, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	r.own = !result.Shareable()
	if q.request.Location.InURL() {
		add(httpapi.ReferrerPolicy, corev3.HeaderValueOption_ADD_IF_ABSENT)
	}
	if name := exposed.Offer.Select; name != "" {
		add(httpapi.Header{Name: credential.HeaderWebSocketProtocol, Value: name}, corev3.HeaderValueOption_ADD_IF_ABSENT)
	}
	for _, h := range httpapi.RateLimit(result.Rates) { // an upstream may add rate limits of its own
		add(h, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	}
	// An upstream may speak of its own content. If it sends one of the two, Envoy adds the other: it asks of each header alone.
	for _, h := range httpapi.Retirement(result.Decision, s.integration.Now) {
		add(h, corev3.HeaderValueOption_ADD_IF_ABSENT)
	}
	for _, h := range httpapi.CORS(result.Decision, &q.request.Request) {
		action := corev3.HeaderValueOption_ADD_IF_ABSENT // an upstream that supports CORS itself decides who may read
		if h.Name == httpapi.HeaderExposeHeaders {       // but what may be read is a list of both
			action = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
		add(h, action)
	}
}

// privately keeps responses out of shared caches. Envoy cannot remove anything from the upstream's Cache-Control, but
// private overrides what is in it (RFC 9111, section 3). Headers that override Cache-Control in some caches are
// replaced if the response has them.
var privately = func() []addition {
	all := []addition{{httpapi.Header{Name: "Cache-Control", Value: "private"}, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD}}
	for _, name := range httpapi.SharedCacheHeaders() {
		value := "no-store"
		if name == "X-Accel-Expires" || name == "X-Varnish-TTL" { // which are numbers
			value = "0"
		}
		all = append(all, addition{httpapi.Header{Name: name, Value: value}, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS})
	}
	return all
}()

func deny(r *reply, result authorizer.Result, request *authorizer.Request) {
	denial := httpapi.NewDenial(result.Decision, &request.Request, result.RetryAfter).With(httpapi.RateLimit(result.Rates)...)
	r.status, r.message = statusOf(denial.Status), result.Code.String()
	r.denial, r.body = denial.Status, denial.Body
	r.set = append(append(r.set, denial.Headers...), httpapi.Header{Name: httpapi.HeaderRequestID, Value: request.ID})
	r.metadata[0] = httpapi.Header{Name: "code", Value: result.Code.String()}
}

// statusOf returns the gRPC status for an HTTP status. Envoy only checks whether it is OK.
func statusOf(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusTooManyRequests, http.StatusPaymentRequired:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusBadRequest, http.StatusRequestURITooLong:
		return codes.InvalidArgument
	default:
		return codes.PermissionDenied
	}
}
