// Package forwardauth is the integration for proxies that ask with an HTTP subrequest. Each proxy has a profile, which
// says which headers describe the original request. No other headers are read:
//
//	                      method, target                      host              client's address
//	/authz                X-Forwarded-Method, -Uri            X-Forwarded-Host  X-Forwarded-For or Forwarded
//	/authz/nginx          X-Original-Method, -URI             X-Original-Host   X-Real-IP
//	/authz/ingress-nginx  X-Original-Method, -URL             X-Original-URL    X-Real-IP
//	/authz/traefik        X-Forwarded-Method, -Uri            X-Forwarded-Host  X-Forwarded-For
//	/authz/caddy          X-Forwarded-Method, -Uri            Host              X-Forwarded-For
//	/authz/haproxy        X-HAProxy-Method, -Uri              X-HAProxy-Host    X-HAProxy-Src
//	/authz/gateway-api    Method, Path                        Host              not known
//	/authz/envoy-http/…   its own, and its own behind prefix  Host              X-Forwarded-For
//
// /authz is for any other proxy that can send these headers. The proxy must set them itself, replacing what the client
// sent, and must remove what the client sent under the name of a context header. Addresses are accepted from trusted
// proxies only.
//
// The response is 200 with the context headers, or the denial as the client is to see it. For a proxy, 2xx means that the
// request may pass. So the response to a preflight, which would be 204 and must not pass, is 403, with 204 in
// X-Keyward-Status.
//
// nginx understands 2xx, 401 and 403 only, and drops the body: the response to a denied request is 401 or 403, with the
// status to restore in X-Keyward-Status, the code in X-Keyward-Code, and the body in X-Keyward-Problem. Only 503 stays
// unchanged, so that nginx asks another validation server, if it has one.
//
// nginx cannot remove headers by prefix either, so that requests in which a client sends a header X-Keyward-… are refused
// with 400.
//
// What is left of an allowed request without the key, if the key was not in a header for keys, is in these headers:
//
//	X-Keyward-Uri, X-Keyward-Query      the target, and its query, if there was a key in it
//	X-Keyward-Referer                   the Referer, if there was one in it; where a target cannot be replaced, always as Referer
//	Authorization                       always, if it is the content server's own
//	Sec-WebSocket-Protocol              always, if there is a subprotocol that is not Keyward's
//	X-Keyward-Websocket-Protocol        the subprotocol to select if the content server selects none
//	Referrer-Policy                     for the response, unless the content server has one
//
// Traefik, ingress-nginx, implementations of the Gateway API and Envoy's HTTP service cannot replace a target, and who asks
// /authz itself may not. A key outside of headers is refused there, unless Traefik sends the request to the reverse proxy.
//
// The parameter project of the URL, which the proxy's own configuration fixes, names the trusted project. Any other
// parameter is refused. Caddy adds the client's query to a path that has none, so that its project is in the path:
// /authz/caddy/projects/marketing. For the two last profiles it is in front of the profile's name, because what follows that
// name may be the client's: /authz/projects/marketing/envoy-http.
//
// Envoy's HTTP service accepts 200 only, and sends any other response to the client as it is, so that the response to a
// preflight stays 204 there. X-Envoy-Auth-Headers-To-Remove in the response to an allowed request names the headers with
// the key, which Envoy then removes.
//
// Traefik cannot restore a status. Instead of asking about preflights, it sends them to /authz/traefik/preflights, where
// the response is what the client is to see: method, Host and query are the client's, and its path is in X-Replaced-Path,
// once. A trusted project is named in the path there, too.
package forwardauth

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
)

const (
	headerStatus  = "X-Keyward-Status"
	headerCode    = "X-Keyward-Code"
	headerProblem = "X-Keyward-Problem"

	codeReserved = "header_reserved"
)

// Option configures the integration.
type Option func(*handler)

// KeepCredential lets content servers behind Envoy see the key.
func KeepCredential(keep bool) Option { return func(h *handler) { h.stripping.KeepCredential = keep } }

// Register adds all proxy profiles to a mux, except those of Prefixed, and returns the fast path, which responds to simple
// requests without the mux.
func Register(mux *http.ServeMux, auth *authorizer.Authorizer, clients *clientaddr.Resolver, options ...Option) *FastPath {
	handlers := map[string]*handler{}
	for _, d := range proxyProfiles {
		h := &handler{proxyProfile: d, integration: auth.Integration(d.integration), clients: clients, addresses: d.addresses(clients)}
		h.stripping.Keys = auth.Keys()
		for _, option := range options {
			option(h)
		}
		handlers[d.path] = h
		if d.prefixed { // the mux would clean the path
			continue
		}
		mux.Handle(d.path, h)
		if d.projectInPath {
			mux.Handle(d.path+pathProject, h)
		}
		if d.projectFirst {
			mux.Handle(d.projectPath("{"+parameterProject+"}"), h)
		}
		if d.preflights {
			mux.HandleFunc(d.path+pathPreflights, h.respondToPreflight)
			mux.HandleFunc(d.path+pathPreflights+pathProject, h.respondToPreflight)
		}
	}
	return newFastPath(handlers)
}

type handler struct {
	proxyProfile

	integration *authorizer.Integration
	clients     *clientaddr.Resolver
	addresses   *clientaddr.Resolver // reads the profile's list
	stripping   httpapi.Stripping
}

// requestContext is a request with what a decision needs.
type requestContext struct {
	httpapi.FastRequest

	forceQuery  bool   // there is a '?' with nothing after it
	projectPath string // the project in the path
	method      string // its own
	target      string // what follows the prefix, query included

	request authorizer.Request
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := requestContext{
		FastRequest: httpapi.FastRequest{Path: r.URL.Path, RawQuery: r.URL.RawQuery, Host: r.Host,
			Peer: clientaddr.Peer(r.RemoteAddr), Header: r.Header},
		forceQuery: r.URL.ForceQuery, projectPath: r.PathValue(parameterProject),
	}
	h.write(w, r, &e)
}

func (h *handler) write(w http.ResponseWriter, r *http.Request, e *requestContext) {
	var response httpapi.Response
	h.respond(r.Context(), e, &response)
	response.Write(w)
}

// respond fills in the response, to whose headers it adds.
func (h *handler) respond(ctx context.Context, e *requestContext, response *httpapi.Response) {
	requestID := httpapi.RequestID(e.Header[httpapi.HeaderRequestID]...)
	response.Headers = append(response.Headers, httpapi.Header{Name: httpapi.HeaderRequestID, Value: requestID})
	asked, wrong := h.read(e)
	if wrong != "" {
		h.refuse(response, incomplete(wrong))
		return
	}
	if h.cannotRemove && httpapi.SendsReserved(e.Header) {
		h.refuse(response, httpapi.NewProblem(http.StatusBadRequest, codeReserved, "Reserved header",
			"Clients must not send headers whose names begin with X-Keyward-."))
		return
	}
	project, wrong := h.trustedProject(e)
	if wrong != "" {
		h.refuse(response, httpapi.InvalidParameter(wrong))
		return
	}
	path, rawQuery := httpapi.SplitTarget(asked.uri)
	e.request = authorizer.Request{Request: httpapi.NewRequest(h.integration.Keys(), e.Header, asked.method, asked.host, path, rawQuery),
		Client: asked.client, ID: requestID}
	e.request.TrustedProject, e.request.NeedsHost, e.request.KeepsKey = project, true, h.keepsKey
	if h.integration.Traced() {
		e.request.Trace = h.parent(e.Peer, e.Header)
	}

	result := h.integration.Decide(ctx, &e.request)
	if !result.Allowed() {
		denial := httpapi.NewDenial(result.Decision, &e.request.Request, result.RetryAfter).With(httpapi.RateLimit(result.Rates)...)
		h.deny(response, denial, result.Code.String())
		return
	}
	response.Status = http.StatusOK
	response.Headers = httpapi.AppendContextHeaders(response.Headers, result.Decision,
		h.integration.Principal(&result.Decision, requestID))
	if h.prefixed {
		response.Headers = h.appendRemoval(response.Headers, e)
	}
	// The proxy adds the following headers to the response.
	response.Headers = append(response.Headers, httpapi.CORS(result.Decision, &e.request.Request)...)
	response.Headers = append(response.Headers, httpapi.RateLimit(result.Rates)...)
	response.Headers = append(response.Headers, httpapi.Retirement(result.Decision, h.integration.Now)...)
	response.Headers = httpapi.Caching(response.Headers, result.Decision)
	response.Headers = h.appendExposed(response.Headers, e, rawQuery)
	response.Headers = append(response.Headers, httpapi.Header{Name: httpapi.HeaderVary, Value: httpapi.Vary(&e.request.Request)}, noStore)
}

// parent is the trace that a request continues, if the proxy passes it on.
func (h *handler) parent(peer netip.Addr, headers http.Header) tracing.Parent {
	return tracing.Parent{Headers: headers, Trusted: h.clients.Trusts(peer)}
}

var noStore = httpapi.Header{Name: "Cache-Control", Value: "no-store"}

func (h *handler) refuse(response *httpapi.Response, problem httpapi.Problem) {
	h.deny(response, problem.Denial(), problem.Code)
}

// deny fills in a denial as the client is to see it, or with a status that the proxy passes on. A preflight never gets
// its own status: the proxy would take it for allowed, and let the request pass.
func (h *handler) deny(response *httpapi.Response, denial httpapi.Denial, code string) {
	if h.narrow || denial.Status < http.StatusMultipleChoices && !h.prefixed {
		response.Headers = append(response.Headers, httpapi.Header{Name: headerStatus, Value: strconv.Itoa(denial.Status)},
			httpapi.Header{Name: headerCode, Value: code})
		if h.narrow && len(denial.Body) > 0 {
			response.Headers = append(response.Headers, httpapi.Header{Name: headerProblem, Value: string(bytes.TrimSpace(denial.Body))})
		}
		if denial.Status != http.StatusUnauthorized && denial.Status != http.StatusServiceUnavailable {
			denial.Status = http.StatusForbidden
		}
	}
	response.Status, response.Body = denial.Status, denial.Body
	response.Headers = append(response.Headers, denial.Headers...)
}
